"""What is offered (spec, "Catalog Management"), for the catalog of these tests and for the one that is shipped."""

import re
from itertools import chain
from uuid import UUID

import jsonschema
import pytest

from tests.osb.offerings import CATALOG, FIXED, HURRIED, HURRY, LARGE, PLAIN_SERVICE, SERVICE, SMALL, VERSION
from tests.osb.platform import at_once

SEMANTIC_VERSION = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?"
)
SCHEMA_PLACES = {"service_instance": {"create", "update"}, "service_binding": {"create"}}


def plans_of(document):
    return [plan for service in document["services"] for plan in service["plans"]]


def schemas_of(document):
    for plan in plans_of(document):
        for kind, verbs in plan.get("schemas", {}).items():
            for verb, place in verbs.items():
                yield kind, verb, place


def text(value) -> bool:
    return isinstance(value, str) and value != ""


@pytest.mark.requirement("CAT-01", "CAT-02")
def test_the_catalog_is_an_object_with_an_array_of_services(platform):
    answer = platform.catalog()

    assert answer.status_code == 200
    assert isinstance(answer.json()["services"], list)
    assert {service["id"] for service in answer.json()["services"]} == {o.id for o in CATALOG.offerings}


@pytest.mark.requirement(
    "CAT-03", "CAT-04", "CAT-05", "CAT-06", "CAT-07", "CAT-08", "CAT-09", "CAT-10", "CAT-11", "CAT-12"
)
def test_each_service_has_what_the_specification_asks_of_one(document):
    services = document["services"]
    assert (
        len({service["id"] for service in services})
        == len(services)
        == len({service["name"] for service in services})
    )
    for service in services:
        assert text(service["name"])
        assert text(service["id"])
        assert text(service["description"])
        assert isinstance(service["bindable"], bool)
        assert all(text(tag) for tag in service.get("tags", []))
        assert set(service.get("requires", [])) <= {"syslog_drain", "route_forwarding", "volume_mount"}
        for switch in (
            "instances_retrievable",
            "bindings_retrievable",
            "allow_context_updates",
            "plan_updateable",
        ):
            assert isinstance(service.get(switch, True), bool), switch
        assert isinstance(service.get("metadata", {}), dict)
        assert service["plans"]
        assert None not in service.values()


@pytest.mark.requirement("CAT-14", "CAT-15", "CAT-16", "CAT-17", "CAT-18", "CAT-19", "CAT-20", "CAT-21")
def test_each_plan_has_what_the_specification_asks_of_one(document):
    ids = [service["id"] for service in document["services"]] + [plan["id"] for plan in plans_of(document)]
    assert len(ids) == len(set(ids))
    for service in document["services"]:
        names = [plan["name"] for plan in service["plans"]]
        assert len(names) == len(set(names))
    for plan in plans_of(document):
        assert text(plan["id"])
        assert text(plan["name"])
        assert text(plan["description"])
        assert isinstance(plan["free"], bool), "explicit, since Service Catalog takes a missing one as false"
        for switch in ("bindable", "binding_rotatable", "plan_updateable"):
            assert isinstance(plan.get(switch, True), bool), switch
        assert isinstance(plan.get("metadata", {}), dict)
        duration = plan.get("maximum_polling_duration", 1)
        assert isinstance(duration, int)
        assert duration > 0
        if "maintenance_info" in plan:
            assert SEMANTIC_VERSION.fullmatch(plan["maintenance_info"]["version"])
            assert isinstance(plan["maintenance_info"].get("description", ""), str)
        assert None not in plan.values()


@pytest.mark.requirement("CAT-22", "CAT-23", "CAT-24", "CAT-25", "CAT-26")
def test_each_schema_stands_alone_and_is_valid_under_its_own_draft(document):
    import json

    for kind, verb, place in schemas_of(document):
        assert verb in SCHEMA_PLACES[kind]
        assert set(place) <= {"parameters"}
        schema = place["parameters"]
        assert schema["$schema"].startswith("http")
        validator = jsonschema.validators.validator_for(schema, default=None)
        assert validator is not None, schema["$schema"]
        validator.check_schema(schema)
        assert schema["type"] == "object"
        assert len(json.dumps(schema)) <= 64 * 1024
        assert all(reference.startswith("#") for reference in references_in(schema))


def references_in(value):
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        yield from chain.from_iterable(references_in(inner) for inner in value.values())
    elif isinstance(value, list):
        yield from chain.from_iterable(references_in(inner) for inner in value)


@pytest.mark.requirement("CAT-29", "CAT-30", "CAT-31", "CAT-32")
def test_names_lengths_ids_and_metadata_keep_to_the_customs(document):
    for thing in [*document["services"], *plans_of(document)]:
        assert re.fullmatch(r"[A-Za-z0-9.-]{1,63}", thing["name"])
        assert len(thing["description"]) <= 255
        assert str(UUID(thing["id"])) == thing["id"], "lower case: Service Catalog makes object names of ids"
        metadata = thing.get("metadata", {})
        for key in (
            "displayName",
            "imageUrl",
            "longDescription",
            "providerDisplayName",
            "documentationUrl",
            "supportUrl",
        ):
            assert text(metadata.get(key, "-")), key
        assert all(text(bullet) for bullet in metadata.get("bullets", []))
        assert isinstance(metadata.get("shareable", True), bool)
        for cost in metadata.get("costs", []):
            assert all(isinstance(amount, int | float) for amount in cost["amount"].values())
            assert text(cost["unit"])


@pytest.mark.requirement("CAT-33", "BND-24")
def test_what_can_be_bound_is_declared_and_no_permission_is_asked_for(document):
    bindable = [
        plan
        for service in document["services"]
        for plan in service["plans"]
        if plan.get("bindable", service["bindable"])
    ]

    assert bindable
    assert not any(service.get("requires") for service in document["services"])


@pytest.mark.requirement("CAT-09", "CAT-10", "CAT-17", "CAT-18", "CAT-19", "CAT-20", "CAT-22")
def test_what_the_operator_declared_is_what_is_served(platform):
    services = {service["id"]: service for service in platform.catalog().json()["services"]}
    kept, plain = services[SERVICE], services[PLAIN_SERVICE]
    plans = {plan["id"]: plan for plan in kept["plans"]}

    assert kept["plan_updateable"] is True
    assert (kept["instances_retrievable"], kept["bindings_retrievable"], kept["allow_context_updates"]) == (
        True,
    ) * 3
    assert (
        plain["instances_retrievable"],
        plain["bindings_retrievable"],
        plain["allow_context_updates"],
    ) == (False,) * 3
    assert plans[SMALL]["maintenance_info"]["version"] == VERSION
    assert "maintenance_info" not in plans[FIXED]
    assert plans[HURRIED]["maximum_polling_duration"] == HURRY.total_seconds()
    assert (plans[SMALL]["binding_rotatable"], plans[SMALL]["plan_updateable"]) == (True, True)
    assert (plans[FIXED]["bindable"], plans[FIXED]["plan_updateable"], plans[FIXED]["free"]) == (
        False,
        False,
        True,
    )
    assert set(plans[LARGE]["schemas"]["service_instance"]) == {"create", "update"}
    assert plans[LARGE]["schemas"]["service_binding"]["create"]["parameters"]["properties"]["role"]
    assert "schemas" not in plans[FIXED]
    assert plans[SMALL]["metadata"]["bullets"] == ["one", "two"]
    for plan in plans.values():
        assert not {"recipe", "provisioner", "template", "sensitive"} & set(plan)


@pytest.mark.requirement("CAT-27", "CAT-35", "CON-12")
def test_the_unchanged_catalog_reads_the_same_each_time_also_many_times_at_once(platform):
    answers = at_once(20, lambda _: platform.catalog())

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1


@pytest.mark.requirement("CAT-28")
def test_a_catalog_that_the_platform_already_has_is_304(platform):
    first = platform.catalog()
    etag, modified = first.headers["ETag"], first.headers["Last-Modified"]

    same = [
        platform.catalog(headers={"If-None-Match": etag}),
        platform.catalog(headers={"If-None-Match": f'"other", {etag}'}),
        platform.catalog(headers={"If-None-Match": f"W/{etag.removeprefix('W/')}"}),
        platform.catalog(headers={"If-None-Match": "*"}),
        platform.catalog(headers={"If-Modified-Since": modified}),
    ]
    changed = [
        platform.catalog(headers={"If-None-Match": '"other"'}),
        platform.catalog(headers={"If-None-Match": '"other"', "If-Modified-Since": modified}),
        platform.catalog(headers={"If-Modified-Since": "Thu, 01 Jan 1998 00:00:00 GMT"}),
        platform.catalog(headers={"If-Modified-Since": "yesterday"}),
    ]

    assert [answer.status_code for answer in same] == [304] * 5
    assert [answer.status_code for answer in changed] == [200] * 4
    for answer in same:
        assert answer.headers["ETag"] == etag
    for answer in changed:
        assert answer.content == first.content


@pytest.mark.requirement("CAT-36")
def test_head_of_the_catalog_has_no_body(platform):
    answer = platform.request("HEAD", "/v2/catalog")

    assert answer.status_code in {200, 405}
    assert answer.content == b""
