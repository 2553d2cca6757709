import subprocess
import sys
from pathlib import Path

import pytest

from broker.azure_models import UNKNOWN, known, load

SERVERS = "Microsoft.DBforPostgreSQL/flexibleServers"
NOW = "2026-10-01"
TOP = Path(__file__).resolve().parents[2]


def a_server(**properties):
    return {"location": "westeurope", "properties": {"version": "17", **properties}}


def problems(body, use="create"):
    return [str(problem) for problem in load(SERVERS, NOW).problems(body, use)]


def test_the_files_are_what_the_installed_sdk_says():
    made_again = subprocess.run(
        [sys.executable, TOP / "tools" / "azure-models", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert made_again.stderr == ""
    assert made_again.returncode == 0


def test_a_changed_file_is_noticed(tmp_path):
    for path in (TOP / "broker" / "azure_models").glob("*.json"):
        (tmp_path / path.name).write_text(path.read_text().replace("storageSizeGB", "storageSizeGb"))

    check = subprocess.run(
        [sys.executable, TOP / "tools" / "azure-models", "--check", "--folder", tmp_path],
        capture_output=True,
        text=True,
        check=False,
    )

    assert check.returncode == 1
    assert "flexibleServers@2026-10-01.json differs" in check.stderr


def test_a_type_is_found_in_any_case_and_only_at_its_api_version():
    assert load(SERVERS.upper(), NOW).type == SERVERS
    assert load(SERVERS, "2020-01-01") is None
    assert load("Microsoft.Storage/storageAccounts", NOW) is None
    assert known()[SERVERS] == (NOW,)


def test_a_proper_server_has_no_problem():
    body = a_server(
        administratorLogin="owner",
        administratorLoginPassword=UNKNOWN,
        storage={"storageSizeGB": 32},
        backup={"backupRetentionDays": 7},
    )

    assert problems(body | {"sku": {"name": "Standard_B1ms", "tier": "burstable"}, "tags": {"a": "b"}}) == []


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"properties": {}}, "location: is required"),
        (a_server(colour="red"), "properties.colour: Microsoft.DBforPostgreSQL/flexibleServers at"),
        (a_server(Storage={}), "it is spelt 'storage'"),
        (a_server(state="Ready"), "properties.state: is read-only"),
        (a_server(storage={"storageSizeGB": "32"}), "properties.storage.storageSizeGB: must be an integer"),
        (a_server(storage={"storageSizeGB": True}), "properties.storage.storageSizeGB: must be an integer"),
        (a_server() | {"sku": {"name": "x", "tier": "Huge"}}, "sku.tier: 'Huge' is not one of Burstable"),
        (a_server() | {"sku": {"tier": "Burstable"}}, "sku.name: is required"),
        (a_server() | {"tags": {"a": 1}}, "tags.a: must be a string, not an integer"),
        (a_server(maintenanceWindow={}), "cannot be given when the resource is created"),
        ([], "must be an object"),
    ],
)
def test_what_azure_would_refuse_is_named_by_its_path(body, says):
    assert [problem for problem in problems(body) if says in problem]


def test_a_patch_needs_nothing_and_may_not_touch_what_is_settled():
    patch = {"properties": {"availabilityZone": "2"}}

    assert problems(patch, "update") == [
        "properties.availabilityZone: cannot be changed after the resource was created"
    ]


def test_paths_tell_secrets_and_create_only_properties():
    paths = dict(load(SERVERS, NOW).paths())

    assert paths["properties.administratorLoginPassword"].write_only
    assert paths["properties.availabilityZone"].create_only
    assert not paths["properties.storage.storageSizeGB"].create_only
    assert load(SERVERS, NOW).property_at("properties.storage.storageSizeGB").type == "integer"
