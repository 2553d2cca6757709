"""Offerings of older brokers: known by their ids, made as their successors, and never in the catalog unless wanted."""

import shutil
from collections import Counter
from pathlib import Path

import jmespath
import pytest

from broker.catalog.faults import refused
from broker.catalog.file_sets import Files
from broker.catalog.reader import read_sources, with_legacy
from broker.catalog.sources import Source
from broker.domain.instances import Configuration
from broker.domain.tenant_rules import Rule
from broker.domain.tenants import Tenant
from broker.errors import InvalidParameters, NotOrdered, UnknownServicePlan
from broker.lifecycle import tenancy
from broker.provisioners.parameters import Known, template_parameters
from broker.provisioners.recipe import Recipe
from broker.shipped import shipped
from broker.store import instances
from tests.catalog.test_publishing import Process
from tests.store.nouns import an_instance
from tests.tenants.tables import cloud_foundry, none_of, rules, when

SHIPPED = Source.of_folder("files", shipped("catalog"))
IDS = [tuple(line.split()) for line in Path(__file__).with_name("older_ids.txt").read_text().splitlines()]
"""Of each plan of the three older brokers: the ids of its offering and of the plan, as they were published."""


def catalog(mode):
    made, faults = read_sources([with_legacy(SHIPPED, mode)])
    assert refused(faults) == []
    return made


LISTED, HIDDEN, OFF = catalog("listed"), catalog("hidden"), catalog("off")
NAMES = {offering.name for offering in OFF.offerings}


def refusal(made, offering_id, plan_id):
    with pytest.raises(NotOrdered) as told:
        made.orderable(offering_id, plan_id)
    return told.value.description


def is_a_sentence_with_a_way_on(text):
    ordered = text.rpartition("Order ")[2].partition("/")[0]
    return text.endswith(".") and (
        ordered in NAMES or "has no successor" in text or text.rpartition("Order ")[2].startswith("azure-")
    )


@pytest.mark.parametrize(("offering_id", "plan_id"), IDS)
def test_each_plan_of_an_older_broker_can_be_ordered_when_listed_or_says_what_to_order(offering_id, plan_id):
    _, plan = LISTED.plan(offering_id, plan_id)

    if plan.withdrawn:
        assert is_a_sentence_with_a_way_on(refusal(LISTED, offering_id, plan_id))
    else:
        assert LISTED.orderable(offering_id, plan_id)[1] is plan
        assert Recipe.read(plan.recipe).resources


@pytest.mark.parametrize(("offering_id", "plan_id"), IDS)
def test_a_hidden_plan_takes_no_order_and_says_what_to_order(offering_id, plan_id):
    assert HIDDEN.plan(offering_id, plan_id)[1].withdrawn

    assert is_a_sentence_with_a_way_on(refusal(HIDDEN, offering_id, plan_id))


def test_nothing_of_older_brokers_is_in_a_catalog_that_hides_it_or_has_none():
    shown = {plan.id for offering in HIDDEN.offerings for plan in offering.offered}

    assert shown.isdisjoint(plan_id for _, plan_id in IDS)
    assert shown == {plan.id for offering in OFF.offerings for plan in offering.offered}
    for offering_id, plan_id in IDS:
        with pytest.raises(UnknownServicePlan):
            OFF.plan(offering_id, plan_id)


def test_a_catalog_that_lists_them_has_each_id_and_each_name_once():
    offerings = Counter(offering.id for offering in LISTED.offerings)
    names = Counter(offering.name for offering in LISTED.offerings)
    plans = Counter(plan.id.lower() for offering in LISTED.offerings for plan in offering.plans)

    assert {
        one for counted in (offerings, names, plans) for one, number in counted.items() if number > 1
    } == set()
    for offering in LISTED.offerings:
        within = Counter(plan.name for plan in offering.plans)
        assert within.most_common(1)[0][1] == 1, offering.name


def test_the_ids_are_those_of_the_older_brokers_and_no_others():
    older = {
        (offering.id, plan.id)
        for offering in LISTED.offerings
        if offering.name not in NAMES
        for plan in offering.plans
    }

    assert older == set(IDS)


def test_a_child_of_an_older_broker_has_a_parent_of_an_older_broker():
    by_id = {offering.id: offering for offering in LISTED.offerings}
    children = [
        plan
        for offering in LISTED.offerings
        if offering.name not in NAMES
        for plan in offering.plans
        if plan.parent is not None
    ]

    assert children
    for plan in children:
        assert by_id[plan.parent].name not in NAMES
        assert all(parent.takes_alias for parent in by_id[plan.parent].plans if parent.recipe)


def test_a_plan_of_one_size_has_that_size_and_a_shared_id_the_names_of_both_brokers():
    sql = "fb9bc99e-0aa9-11e6-8a8a-000d3a002ed5"
    offering, s3 = LISTED.orderable(sql, "26cf84bf-f700-4e65-8048-cbfa9c319d5f")
    _, standard = LISTED.orderable(sql, "2497b7f3-341b-4ac6-82fb-d4a48c005e19")

    assert (s3.name, s3.recipe["fixed"]["dtus"]) == ("standards3", 100)
    assert "dtus" not in s3.create_parameters.names
    assert "dtus" in standard.create_parameters.names
    assert "OSBA azure-sql-12-0, MASB azure-sqldb" in offering.description


# A family of the tests' own, made of the shipped storage account.

STORAGE = """
legacy: tests
offerings:
  - id: 6F9619FF-8B86-D011-B42D-00CF4FC964FF
    name: old-storage
    known_as: [SomeBroker storage]
    successor: azure-storage-account
    parameters:
      resourceGroup: {type: string, description: "Has no effect."}
      enableNonHttpsTraffic:
        type: string
        default: disabled
        allowed: [enabled, disabled]
        becomes: {allowSharedKeyAccess: {enabled: true, disabled: false}}
      tier:
        type: integer
        default: 1
        allowed: [1, 2]
        becomes: {accessTier: {"1": Hot, "2": Cool}}
    credentials: {primary_access_key: accessKey, account: {pick: names.account}}
    plans:
      - {id: 7F9619FF-8B86-D011-B42D-00CF4FC964FF, name: small, successor: standard-lrs}
      - {id: 8f9619ff-8b86-d011-b42d-00cf4fc964ff, name: huge, refused: "Nobody makes that any more."}
"""
OLD, SMALL, HUGE = (
    "6F9619FF-8B86-D011-B42D-00CF4FC964FF",
    "7F9619FF-8B86-D011-B42D-00CF4FC964FF",
    "8f9619ff-8b86-d011-b42d-00cf4fc964ff",
)


def with_family(text=STORAGE, *, mode="listed"):
    files = {path: content for path, content in SHIPPED.files.items() if path.startswith("storage/")}
    source = Source("tests", {**files, "legacy/tests.yaml": text.encode()})
    return read_sources([with_legacy(source, mode)])


def faults_of(old, new):
    assert old in STORAGE
    return [fault for fault in with_family(STORAGE.replace(old, new, 1))[1] if fault.severity == "refused"]


@pytest.fixture
def family():
    made, faults = with_family()
    assert refused(faults) == []
    return made


def in_template(plan, **asked):
    plan.create_parameters.check(asked)
    known = Known(names={"account": "st1"}, location="westeurope", tags={})
    return template_parameters(Recipe.read(plan.recipe), asked, known)


def test_an_older_parameter_becomes_what_its_table_says_in_the_successors_template(family):
    _, plan = family.orderable(OLD, SMALL)

    made = in_template(plan, enableNonHttpsTraffic="disabled", tier=2, resourceGroup="anything")
    other = in_template(plan, enableNonHttpsTraffic="enabled")

    assert (made["allowSharedKeyAccess"], made["accessTier"]) == (False, "Cool")
    assert (other["allowSharedKeyAccess"], other["accessTier"]) == (True, "Hot")
    assert made["skuName"] == "Standard_LRS"
    assert "resourceGroup" not in made


def test_what_an_older_parameter_becomes_is_no_parameter_of_its_own_any_more(family):
    _, plan = family.orderable(OLD, SMALL)

    with pytest.raises(InvalidParameters, match="'accessTier' is not a known parameter"):
        plan.create_parameters.check({"accessTier": "Hot"})
    with pytest.raises(InvalidParameters, match="'tier' must be one of"):
        plan.create_parameters.check({"tier": 3})
    plan.create_parameters.check({"allowedAddresses": ["192.0.2.1"]})


def test_bindings_have_the_older_keys_beside_the_successors(family):
    _, plan = family.orderable(OLD, SMALL)
    modes = plan.recipe["binding_modes"]["modes"]
    keys = {mode: way["binding"][-1]["compose"]["credentials"] for mode, way in modes.items()}

    assert keys["key"]["primary_access_key"] == keys["key"]["accessKey"]
    assert jmespath.search(keys["key"]["account"]["pick"], {"names": {"account": "st1"}}) == "st1"
    assert "primary_access_key" not in keys["entra"], "that way to bind has no key at all"


def test_what_has_no_successor_is_refused_in_its_own_words(family):
    assert refusal(family, OLD, HUGE) == "Nobody makes that any more. This release has no successor for it."


def test_what_this_broker_does_not_offer_is_not_offered_by_an_older_name_either():
    files = {path: content for path, content in SHIPPED.files.items() if path.startswith("appconfiguration/")}
    source = Source("tests", {**files, "legacy/tests.yaml": STORAGE.encode()})

    made, faults = read_sources([with_legacy(source, "listed")])

    assert refused(faults) == []
    assert refusal(made, OLD, SMALL) == (
        "'old-storage/small' is made as azure-storage-account/standard-lrs, which this broker does not offer."
    )


def test_an_overlay_that_hides_the_successor_hides_what_is_made_as_it():
    files = {path: content for path, content in SHIPPED.files.items() if path.startswith("storage/")}
    family = with_legacy(Source("tests", {**files, "legacy/tests.yaml": STORAGE.encode()}), "listed")
    hiding = Source(
        "team", {"team/a.yaml": b"overlay: azure-storage-account\nplans: {standard-lrs: {hide: true}}\n"}
    )

    made, faults = read_sources([family, hiding])

    assert refused(faults) == []
    assert "which this broker does not offer" in refusal(made, OLD, SMALL)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("successor: standard-lrs", "successor: standard", "has no plan 'standard'; it has "),
        ("        default: 1\n", "", "needs a default: what it becomes is needed in any case"),
        (
            'accessTier: {"1": Hot, "2": Cool}',
            "allowSharedKeyAccess: {}",
            "'enableNonHttpsTraffic' becomes that, too",
        ),
        ("allowSharedKeyAccess: {enabled", "sharedKey: {enabled", "the template has no such parameter"),
        (HUGE, SMALL.lower(), "is used before"),
        ("name: old-storage", "name: azure-storage-account", "'azure-storage-account' is used before"),
        ("name: huge", "name: HUGE", "a name that Kubernetes takes"),
        (
            "successor: azure-storage-account",
            "sucessor: azure-storage-account",
            "is not known to this version",
        ),
        ("{pick: names.account}", "{pick: 'names['}", "is no JMESPath expression"),
        ("{pick: names.account}", "{pick: secrets.all}", "there is no 'secrets' to pick from"),
    ],
)
def test_a_file_of_an_older_family_that_cannot_be_is_refused_where_it_stands(old, new, said):
    faults = faults_of(old, new)

    assert any(said in fault.message for fault in faults), faults
    assert all(fault.file == "legacy/tests.yaml" and fault.line > 0 for fault in faults), faults


def test_a_team_can_bring_an_older_family_of_its_own_in_an_overlay_folder(tmp_path):
    (tmp_path / "legacy").mkdir()
    (tmp_path / "legacy" / "tests.yaml").write_text(STORAGE)

    def read(mode):
        sources = Files(shipped("catalog"), overlays=[tmp_path], legacy=mode).read().sources
        return read_sources([source for _, source in sources])[0]

    assert read("listed").orderable(OLD, SMALL)
    assert refusal(read("hidden"), OLD, SMALL).startswith(
        "'old-storage' is kept for service instances of older"
    )
    assert not read("off").has_plan(OLD, SMALL)


def test_without_the_setting_the_files_are_the_same_as_if_there_were_no_older_ones(tmp_path):
    without = shutil.copytree(shipped("catalog"), tmp_path / "without", ignore=lambda *_: {"legacy"})

    assert Files(shipped("catalog")).read().digest == Files(without).read().digest


def test_a_plan_that_a_tenant_must_not_see_is_unknown_to_him_and_not_refused():
    hiding = rules(Rule("nobody", when(), plans=none_of("old-*")))
    tenant = Tenant.of("cf", cloud_foundry("o", "s"))
    made, _ = with_family(mode="hidden")

    with pytest.raises(NotOrdered):
        tenancy.order_of(rules(), made, tenant, OLD, SMALL)
    with pytest.raises(UnknownServicePlan):
        tenancy.order_of(hiding, made, tenant, OLD, SMALL)


# Published.


@pytest.fixture
def folder(tmp_path):
    made = shutil.copytree(shipped("catalog"), tmp_path / "catalog")
    (made / "legacy" / "tests.yaml").write_text(STORAGE)
    return made


@pytest.mark.anyio
async def test_the_setting_takes_effect_at_the_next_start_and_hides_what_was_listed(database, folder):
    off = await Process.started(database, folder)
    listed = await Process.started(database, folder, legacy="listed")
    hidden = await Process.started(database, folder, legacy="hidden")

    assert [one.revision for one in (off, listed, hidden)] == [1, 2, 3]
    assert not off.catalog.current().has_plan(OLD, SMALL)
    assert listed.catalog.current().orderable(OLD, SMALL)
    assert "kept for service instances of older brokers" in refusal(hidden.catalog.current(), OLD, SMALL)


@pytest.mark.anyio
async def test_what_instances_use_cannot_be_switched_off(database, folder):
    hidden = await Process.started(database, folder, legacy="hidden")
    imported = an_instance(
        service_offering_id=OLD, applied=Configuration(service_plan_id=SMALL, parameters={})
    )
    async with database.transaction() as tx:
        await instances.add(tx, imported)

    off = await Process.started(database, folder)

    (fault,) = off.files.refused
    assert "'old-storage'" in fault.message
    assert "1 living instance of it is left" in fault.message
    assert off.catalog.current().has_plan(OLD, SMALL)
    assert hidden.revision == 1
