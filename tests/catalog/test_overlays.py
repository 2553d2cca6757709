"""Overlays: what a team lays over the offerings that a broker brings."""

import shutil

import pytest

from broker.catalog.faults import refused
from broker.catalog.file_sets import Files, overlay_names
from broker.catalog.reader import read_sources
from broker.catalog.sources import Source
from broker.cli.catalog_reading import catalog_of, sources_of
from broker.shipped import shipped
from tests.docs.test_examples import TOP, blocks

STORAGE = Source.of_folder("built-in", shipped("catalog"))
NAME = "azure-storage-account"
ZRS = "standard-zrs"


def overlaid(*texts):
    """The shipped catalog with overlays, each in a source of its own; its faults."""
    sources = [
        Source(f"overlay-{number}", {"team/changes.yaml": text.encode()})
        for number, text in enumerate(texts, 1)
    ]
    return read_sources([STORAGE, *sources])


def offering_of(catalog, name=NAME):
    return next(one for one in catalog.offerings if one.name == name)


def plan_of(catalog, name=ZRS):
    return next(plan for plan in offering_of(catalog).plans if plan.name == name)


PLAIN, _ = read_sources([STORAGE])


def test_commands_read_an_empty_overlay_folder_as_a_broker_does(tmp_path):
    assert catalog_of(sources_of(shipped("catalog"), [tmp_path])) == PLAIN


def test_values_of_an_offering_and_its_plans_are_replaced_key_by_key_and_all_else_stays():
    catalog, faults = overlaid(
        f"""
overlay: {NAME}
set:
  description: Storage as we run it.
  metadata: {{displayName: Our storage}}
plans:
  {ZRS}:
    set:
      maximum_polling_duration: 7200
      fixed: {{skuName: Standard_GRS}}
"""
    )

    offering, before = offering_of(catalog), offering_of(PLAIN)
    plan, plan_before = plan_of(catalog), plan_of(PLAIN)
    assert refused(faults) == []
    assert offering.description == "Storage as we run it."
    assert offering.metadata == {**before.metadata, "displayName": "Our storage"}
    assert plan.maximum_polling_duration.total_seconds() == 7200
    assert plan.recipe["fixed"] == {**plan_before.recipe["fixed"], "skuName": "Standard_GRS"}
    assert (plan.id, plan.description) == (plan_before.id, plan_before.description)
    assert [one for one in offering.plans if one.name != ZRS] == [
        one for one in before.plans if one.name != ZRS
    ]


def test_an_overlay_that_only_takes_away_takes_away():
    catalog, faults = overlaid(f"overlay: {NAME}\nset: {{metadata: {{displayName: null}}}}")

    assert not faults
    assert "displayName" not in offering_of(catalog).metadata


def test_null_takes_a_key_away():
    catalog, faults = overlaid(f"overlay: {NAME}\nset: {{metadata: null, tags: [ours]}}")

    assert refused(faults) == []
    assert offering_of(catalog).metadata == {}
    assert offering_of(catalog).tags == ("ours",)


def test_a_plan_is_added_to_an_offering_of_another_source():
    catalog, faults = overlaid(
        f"""
overlay: {NAME}
add:
  - id: 0d1c8f0e-5f0b-4bb0-8f3c-3f3b2f6f7a55
    name: cold
    description: For what nobody reads.
    free: false
    maximum_polling_duration: 3600
    fixed: {{skuName: Standard_LRS, kind: StorageV2}}
    user: {{accessTier: {{default: Cool, allowed: [Cool]}}}}
"""
    )

    assert refused(faults) == []
    assert plan_of(catalog, "cold").create_schema["properties"]["accessTier"]["enum"] == ["Cool"]


def test_plans_and_offerings_are_hidden_and_shown_again_by_a_later_overlay():
    first = f"overlay: {NAME}\nhide: true\nplans: {{{ZRS}: {{hide: true}}}}"
    hidden, _ = overlaid(first)
    shown, _ = overlaid(first, f"overlay: {NAME}\nhide: false")

    assert offering_of(hidden).offered == ()
    assert ZRS not in {plan.name for plan in offering_of(shown).offered}
    assert len(offering_of(shown).offered) == len(offering_of(PLAIN).plans) - 1
    assert plan_of(shown).withdrawn


def test_later_overlays_are_laid_over_earlier_ones():
    catalog, _ = overlaid(
        f"overlay: {NAME}\nset: {{description: First., bindable: true}}",
        f"overlay: {NAME}\nset: {{description: Second.}}",
    )

    assert offering_of(catalog).description == "Second."


def test_an_overlay_changes_a_plan_that_an_earlier_one_has_added():
    catalog, faults = overlaid(
        f"""
overlay: {NAME}
add:
  - {{id: 0d1c8f0e-5f0b-4bb0-8f3c-3f3b2f6f7a55, name: cold, description: Cold., free: false,
     maximum_polling_duration: 3600, fixed: {{skuName: Standard_LRS, kind: StorageV2}}}}
""",
        f"overlay: {NAME}\nplans: {{cold: {{set: {{description: Colder.}}}}}}",
    )

    assert refused(faults) == []
    assert plan_of(catalog, "cold").description == "Colder."


@pytest.mark.parametrize(
    ("text", "line", "path", "message"),
    [
        ("overlay: azure-redis", 1, "overlay", "there is no offering 'azure-redis'; there are"),
        (f"overlay: {NAME}\nhidden: true", 2, "hidden", "is not known to this version"),
        (f"overlay: {NAME}\nset:\n  id: 1", 3, "set.id", "never changes"),
        (f"overlay: {NAME}\nset:\n  name: ours", 3, "set.name", "never changes"),
        (f"overlay: {NAME}\nset:\n  template: ours.json", 3, "set.template", "never changes"),
        (f"overlay: {NAME}\nset:\n  plans: []", 3, "set.plans", "never changes"),
        (f"overlay: {NAME}\nset:\n  bindable: maybe", 3, "set.bindable", "true or false"),
        (f"overlay: {NAME}\nset:\n  metadata: 7", 3, "set.metadata", "an object"),
        (f"overlay: {NAME}\nset:\n  colour: red", 3, "set.colour", "is not known to this version"),
        (f"overlay: {NAME}\nplans:\n  tiny:\n    hide: true", 4, "plans.tiny", "has no plan of this name"),
        (f"overlay: {NAME}\nplans:\n  {ZRS}:\n    set: {{name: x}}", 4, f"plans.{ZRS}.set.name", "never"),
        (
            f"overlay: {NAME}\nplans:\n  {ZRS}:\n    set:\n      fixed: {{colour: red}}",
            5,
            f"plans.{ZRS}.set.fixed.colour",
            "the template has no such parameter",
        ),
        (f"overlay: {NAME}\nadd:\n  - name: cold", 3, "add[0].id", "is missing"),
    ],
)
def test_a_fault_is_told_where_it_stands_in_the_overlay(text, line, path, message):
    faults = refused(overlaid(text)[1])

    assert [
        fault
        for fault in faults
        if (fault.file, fault.line, fault.path) == ("overlay-1/team/changes.yaml", line, path)
        and message in fault.message
    ], [str(fault) for fault in faults]


def test_a_fault_of_the_offering_itself_is_told_in_its_own_file():
    broken = Source(
        "broken",
        {
            path: content.replace(b"bindable: true", b"bindable: maybe", 1)
            for path, content in STORAGE.files.items()
        },
    )
    overlay = Source("team", {"team/a.yaml": f"overlay: {NAME}\nset: {{description: Ours.}}".encode()})

    faults = refused(read_sources([broken, overlay])[1])

    assert any(fault.file == f"broken/storage/{NAME}.yaml" and fault.line > 1 for fault in faults)


@pytest.fixture
def mounted(tmp_path):
    """A ConfigMap as Kubernetes mounts it: links to files in a folder that is swapped as a whole."""

    def write(version, text):
        data = tmp_path / "overlay" / f"..{version}"
        data.mkdir(parents=True)
        (data / "changes.yaml").write_text(text)
        swap = tmp_path / "overlay" / "..data_tmp"
        swap.symlink_to(data.name)
        swap.rename(tmp_path / "overlay" / "..data")
        if not (tmp_path / "overlay" / "changes.yaml").is_symlink():
            (tmp_path / "overlay" / "changes.yaml").symlink_to("..data/changes.yaml")
        return tmp_path / "overlay"

    return write


def test_a_mounted_config_map_is_an_overlay_whose_changes_are_seen(mounted):
    folder = mounted(1, f"overlay: {NAME}\nset: {{description: One.}}")
    files = Files(shipped("catalog"), overlays=[folder])
    before = files.read()
    mounted(2, f"overlay: {NAME}\nset: {{description: Two.}}")

    after = files.read()

    assert [list(source.files) for _, source in before.sources][1] == ["overlay/changes.yaml"]
    assert before.digest != after.digest
    assert files.read().digest == after.digest


def test_a_git_checkout_is_an_overlay_without_its_own_folder(tmp_path):
    shutil.copytree(shipped("catalog") / "storage", tmp_path / "Team A" / "storage")
    (tmp_path / "Team A" / ".git").mkdir()
    (tmp_path / "Team A" / ".git" / "config.yaml").write_text("- no: catalog")
    (tmp_path / "Team A" / "README.md").write_text("# Team A")

    ((_, source),) = Files(tmp_path, ("none",), [tmp_path / "Team A"]).read().sources

    assert source.name == "team-a"
    assert {path.split("/")[0] for path in source.files} == {"storage"}


def test_overlay_folders_of_the_same_name_are_told_apart(tmp_path):
    folders = [
        tmp_path / "a" / "catalog",
        tmp_path / "b" / "catalog",
        tmp_path / "built-in",
        tmp_path / "---",
    ]

    assert list(overlay_names(folders)) == ["catalog", "catalog-2", "built-in-2", "overlay"]


def test_the_overlay_of_the_documents_is_one():
    (block,) = (block for block in blocks(TOP / "docs" / "catalog-sources.md") if block.language == "yaml")

    catalog, faults = overlaid(block.code)

    assert refused(faults) == []
    assert {plan.name for plan in offering_of(catalog).offered} == {
        "standard-lrs", "standard-zrs", "standard-grs", "cool"
    }  # fmt: skip
