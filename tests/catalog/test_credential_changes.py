"""A plan hands credentials out under other names, or more of them, whatever the way to bind."""

import pytest

from broker.catalog.credential_keys import handed_out
from broker.catalog.reader import read_sources
from broker.catalog.sources import Source
from broker.provisioners.bindings import composed
from broker.provisioners.recipe import Recipe
from broker.shipped import shipped
from tests.docs.test_examples import TOP, blocks

OVERLAY = b"""
overlay: azure-storage-blob
plans:
  standard-lrs:
    set:
      credentials:
        rename: {resourceId: AZURE_ID}
        add:
          BUCKET: {pick: names.container}
          FLAVOUR: {value: blob}
          LEASE: {pick: made.lease.id}
"""
SOURCE = {
    "outputs": {"containerId": "/the/container", "endpoints": {"blob": "https://b/"}},
    "names": {"account": "st1", "container": "c-1"},
    "parameters": {"auth": "key", "principalId": "p"},
    "made": {"keys": {"key": "drawn"}, "sas": {"token": "t"}},
    "azure": {},
}


def plan_of(*sources: Source, name: str = "standard-lrs", offering: str = "azure-storage-blob"):
    catalog, faults = read_sources([Source.of_folder("built-in", shipped("catalog")), *sources])
    assert [str(fault) for fault in faults if fault.severity == "refused"] == []
    found = next(one for one in catalog.offerings if one.name == offering)
    return next(plan for plan in found.plans if plan.name == name)


OURS = Source("ours", {"ours/storage.yaml": OVERLAY})


@pytest.mark.parametrize("way", ["key", "sas", "entra"])
def test_keys_have_the_plans_names_in_every_way_to_bind_and_the_added_ones_are_there(way):
    before = plan_of()
    changed = plan_of(OURS)

    source = {**SOURCE, "parameters": {"auth": way, "principalId": "p"}}
    old, _ = composed(Recipe.read(before.recipe).verbs({"auth": way}), source)
    new, _ = composed(Recipe.read(changed.recipe).verbs({"auth": way}), source)

    assert new == {key: value for key, value in old.items() if key != "resourceId"} | {
        "AZURE_ID": "/the/container",
        "BUCKET": "c-1",
        "FLAVOUR": "blob",
    }, "what picks nothing is left out"


def test_a_plan_that_extends_another_has_its_names_and_others_have_theirs():
    extended = plan_of(OURS, name="standard-zrs")

    credentials, _ = composed(Recipe.read(extended.recipe).verbs({"auth": "key"}), SOURCE)

    assert "AZURE_ID" in credentials
    assert extended.recipe["fixed"]["skuName"] == "Standard_ZRS"


def test_the_documented_overlay_gives_an_app_the_names_it_is_used_to():
    (example,) = (block for block in blocks(TOP / "docs" / "credentials.md") if block.language == "yaml")

    plan = plan_of(
        Source("ours", {"ours/names.yaml": example.code.encode()}), offering="azure-storage-account"
    )

    (key, *_) = handed_out(plan.recipe).values()
    assert {"AZURE_RESOURCE_ID", "AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_KEY"} <= key.keys()
    assert "resourceId" not in key
