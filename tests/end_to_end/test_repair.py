"""The commands that find and repair, run by an operator against a broker and a simulated Azure."""

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from broker.azure.naming import tags
from tests.end_to_end.orders import ALL_IN_ONE
from tests.end_to_end.world import BROKER_ID

pytestmark = pytest.mark.slow
TOP = Path(__file__).parent.parent.parent


def test_an_operator_finds_an_orphan_and_a_missing_instance_and_repairs_both(sqlite_world, tmp_path):
    world, token = sqlite_world, secrets.token_hex(32)
    (tmp_path / "token").write_text(token)
    orphan = world.server_path(f"pg-{secrets.token_hex(8)}")
    mine = tags(BROKER_ID, "kubernetes", "lost", 0)
    world.azure.plant(id=orphan, location="westeurope", tags=mine, properties={"version": "16"})
    broker = world.start(operators=json.dumps({"alice": {"role": "operate", "tokens": [token]}}))
    instance = broker.platform.ready(ALL_IN_ONE.order())
    (server,) = [one["id"] for one in world.servers() if one["id"].lower() != orphan.lower()]

    def osb(*arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-m", "broker", *arguments],
            cwd=TOP,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(tmp_path),
                "OSB_URL": broker.url,
                "OSB_TOKEN_FILE": str(tmp_path / "token"),
            },
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=120,  # a look at Azure, and one more ten seconds later
            check=False,
        )

    world.azure.call("DELETE", server, version="2026-10-01")
    found = json.loads(osb("resource", "scan", "--reason", "A drill.", "-o", "json").stdout)
    unconfirmed = osb("resource", "delete-orphan", "--all", "--reason", "A drill.")
    deleted = osb("resource", "delete-orphan", "--all", "--reason", "A drill.", "--yes", "--wait")
    refused = broker.platform.bind(instance, "b", ALL_IN_ONE.body())
    listed = osb("instance", "list", "--missing", "-o", "json")
    broker.platform.gone(instance, ALL_IN_ONE.plan_id, ALL_IN_ONE.service_id)
    empty = osb("resource", "list", "-o", "json")

    assert {(one["kind"], one["resource_id"].lower()) for one in found} == {
        ("orphan", orphan.lower()),
        ("missing", server.lower()),
    }
    assert unconfirmed.returncode == 1
    assert deleted.returncode == 0, deleted.stderr
    assert (refused.status_code, refused.json()["error"]) == (422, "InstanceMissing")
    assert [one["instance_id"] for one in json.loads(listed.stdout)] == [instance]
    assert world.made() == set()
    assert [one["kind"] for one in json.loads(empty.stdout)] == ["orphan"], "as of the last look"
