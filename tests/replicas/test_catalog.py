"""Several processes on one PostgreSQL agree about what is offered, without a restart."""

import json
import secrets
import signal
import threading
import time
from contextlib import suppress

import httpx
import pytest

from tests.catalog.offering_files import an_offering
from tests.osb.platform import an_id, at_once, order
from tests.simulated import wait_until

pytestmark = pytest.mark.slow

WITHIN = 5.0
"""Seconds until every replica serves what was published; usually it takes a fraction of one."""


class Operator:
    """Someone who may act, at any replica."""

    def __init__(self) -> None:
        self._token = secrets.token_hex(32)
        self.setting = json.dumps({"alice": {"role": "operate", "tokens": [self._token]}})

    def post(self, replica, path, **body):
        return httpx.post(
            f"{replica.url}/admin/v1/catalog{path}",
            json={"reason": "A test.", **body},
            headers={"Authorization": f"Bearer {self._token}"},
            timeout=30,
        )

    def get(self, replica, path):
        headers = {"Authorization": f"Bearer {self._token}"}
        answer = httpx.get(f"{replica.url}/admin/v1/catalog{path}", headers=headers, timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def register(self, replica, name):
        answer = self.post(replica, "/proposals", name=name, files=an_offering(f"storage-{name}"))
        assert answer.status_code == 200, answer.text
        assert answer.json()["published"], answer.text


@pytest.fixture
def alice():
    return Operator()


def serving(osb, alice, **settings):
    return osb.start("serve", "--no-runner", operators=alice.setting, **settings)


def offered(replica, name):
    """The first plan of an offering, as an order names it; None while it is not offered here."""
    services = replica.platform.catalog().json()["services"]
    return next(
        (
            {"service_id": service["id"], "plan_id": service["plans"][0]["id"]}
            for service in services
            if service["name"] == name
        ),
        None,
    )


def test_what_is_registered_at_one_replica_is_ordered_and_withdrawn_at_another_within_seconds(osb, alice):
    one, other = at_once(2, lambda _: serving(osb, alice))
    alice.register(one, "teams")

    plan = wait_until(lambda: offered(other, "storage-teams"), WITHIN)
    ordered = other.platform.provision(an_id(), order(**plan))
    withdrawn = alice.post(other, "/withdraw", what="storage-teams")
    wait_until(lambda: offered(one, "storage-teams") is None, WITHIN)
    refused = one.platform.provision(an_id(), order(**plan))

    assert ordered.status_code == 202, ordered.text
    assert withdrawn.json()["published"]
    assert (refused.status_code, refused.json()["error"]) == (400, "UnknownServicePlan")
    revisions = alice.get(one, "/revisions")["items"]
    assert [item["author"] for item in revisions] == ["operator alice", "operator alice", "osb serve"]


def test_a_replica_that_starts_serves_what_was_registered_and_an_older_one_takes_nothing_back(
    osb, alice, tmp_path
):
    overlay = tmp_path / "overlay"
    overlay.mkdir()
    one = serving(osb, alice)
    alice.register(one, "teams")
    (overlay / "ours.yaml").write_text(
        "overlay: azure-storage-account\nset: {description: Storage as we run it.}\n"
    )

    newer = serving(osb, alice, catalog_overlays=str(overlay))
    older = serving(osb, alice)

    for replica in (one, newer, older):
        plan = wait_until(lambda replica=replica: offered(replica, "storage-teams"), WITHIN)
        services = replica.platform.catalog().json()["services"]
        assert "Storage as we run it." in {service["description"] for service in services}
        assert plan is not None
    assert alice.get(older, "")["note"].startswith("Revision 3 goes on: the files here were published before")


def test_replicas_that_register_at_once_both_get_what_they_want(osb, alice):
    replicas = at_once(2, lambda _: serving(osb, alice))

    at_once(6, lambda number: alice.register(replicas[number % 2], f"team-{number}"))

    for replica in replicas:
        names = {source["name"] for source in alice.get(replica, "/sources")["items"]}
        assert names == {"built-in", *(f"team-{number}" for number in range(6))}
        wait_until(lambda replica=replica: offered(replica, "storage-team-5"), WITHIN)
        assert all(offered(replica, f"storage-team-{number}") for number in range(6))


@pytest.mark.parametrize("after", [0.03, 0.1])
def test_a_replica_that_dies_in_the_middle_has_registered_all_of_it_or_nothing(osb, alice, after):
    dying, living = at_once(2, lambda _: serving(osb, alice))

    def register():
        with suppress(httpx.HTTPError):
            alice.register(dying, "teams")

    asking = threading.Thread(target=register)
    asking.start()
    time.sleep(after)
    dying.signal(signal.SIGKILL)
    asking.join()
    newest, *_ = alice.get(living, "/revisions")["items"]
    names = [source["name"] for source in alice.get(living, "/sources")["items"]]
    alice.register(living, "others")

    assert (newest["revision"], names) in [(1, ["built-in"]), (2, ["built-in", "teams"])]
    kept = alice.get(living, "/sources")["items"]
    assert [source["name"] for source in kept] == [*names, "others"]
    wait_until(lambda: offered(living, "storage-others"), WITHIN)
    assert (offered(living, "storage-teams") is not None) == (newest["revision"] == 2)
