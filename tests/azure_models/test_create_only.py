"""What Azure settles at a creation, by type: a sourced file, read strictly."""

import pytest

from broker import azure_models
from broker.azure_models.create_only import FILE, Unreadable, create_only, entries

ENTRIES = list(entries(FILE.read_text()))

WANTED = [
    "Microsoft.Cache/redisEnterprise",
    "Microsoft.DBforMySQL/flexibleServers",
    "Microsoft.DBforPostgreSQL/flexibleServers",
    "Microsoft.DocumentDB/databaseAccounts",
    "Microsoft.EventHub/namespaces",
    "Microsoft.KeyVault/vaults",
    "Microsoft.ServiceBus/namespaces",
    "Microsoft.Sql/servers",
    "Microsoft.Sql/servers/databases",
    "Microsoft.Storage/storageAccounts",
]

GOOD = """
[[create_only]]
type = "Microsoft.Cache/redis"
properties = ["location"]
says = "visibility"
source = "a package 1.0: a class"
"""


@pytest.mark.parametrize("resource_type", WANTED)
def test_a_type_of_the_first_wave_has_its_place_among_them(resource_type):
    assert "location" in {entry.path for entry in create_only(resource_type, "2000-01-01")} or (
        resource_type == "Microsoft.Sql/servers/databases"
    )


@pytest.mark.parametrize("resource_type", sorted(azure_models.known()))
def test_what_the_file_says_of_a_described_type_is_a_property_of_it(resource_type):
    model = azure_models.load(resource_type, azure_models.known()[resource_type][0])

    unknown = [e.path for kind, e in ENTRIES if kind == resource_type and not model.property_at(e.path)]

    assert unknown == []


def test_a_model_file_adds_what_the_sdk_says(monkeypatch):
    monkeypatch.setattr("broker.azure_models.create_only._of_file", dict)

    found = {entry.path for entry in create_only("microsoft.servicebus/NAMESPACES", "2026-01-01")}

    assert found == {"location", "properties.zoneRedundant"}


def test_a_type_that_nobody_described_has_none():
    assert create_only("Microsoft.Mine/things", "2026-01-01") == ()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[[create_only]]", "[[create_only", "is no TOML"),
        ("[[create_only]]", "[[created]]", "something else"),
        ('says = "visibility"\n', "", "has other keys"),
        ("Microsoft.Cache/redis", "redis", "is no resource type"),
        ('"visibility"', '"hearsay"', "'says' is one of"),
        ("a package 1.0: a class", " ", "names no source"),
        ('["location"]', "[]", "names no properties"),
        ('["location"]', '["properties..sku"]', "is no dotted path"),
        ('["location"]', '["location", "location"]', "has 'location' twice"),
    ],
)
def test_another_form_is_refused(old, new, said):
    assert [entry.path for _, entry in entries(GOOD)] == ["location"]

    with pytest.raises(Unreadable, match=said):
        list(entries(GOOD.replace(old, new)))
