"""Handing out credentials (spec, "Binding")."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from tests.osb.offerings import FIXED, LARGE, PLAIN, PLAIN_SERVICE, SERVICE, SMALL
from tests.osb.platform import an_id, ask, order, refused

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z")
WRONG_TYPES = [7, True, None, [], {"a": 1}]


@pytest.mark.requirement("BND-01", "BND-02", "BND-17", "BND-19", "BND-22", "BND-30")
@pytest.mark.parametrize(
    "body",
    [
        ask(),
        ask(bind_resource={"app_guid": "app"}),
        ask(app_guid="app"),
        ask(app_guid="app", bind_resource={"app_guid": "app", "space_guid": "s"}),
        ask(parameters={"role": "reader"}, context={"platform": "other"}),
        ask(parameters={}),
        ask(bind_resource={}),
    ],
)
def test_a_new_binding_is_201_with_credentials_that_work(platform, external, body):
    instance_id, binding_id = platform.ready(), an_id()

    answer = platform.bind(instance_id, binding_id, body)

    assert answer.status_code == 201
    bound = answer.json()
    assert bound["credentials"]["password"] in external.passwords()
    assert all(re.fullmatch(r"[-._a-zA-Z0-9]+", key) for key in bound["credentials"])
    assert isinstance(bound.get("metadata", {}), dict)
    assert not {"syslog_drain_url", "route_service_url", "volume_mounts", "operation"} & set(bound)
    assert bound["endpoints"] == [{"host": "things.example", "ports": ["5432"], "protocol": "tcp"}]
    for endpoint in bound["endpoints"]:
        assert all(re.fullmatch(r"\d+(-\d+)?", port) for port in endpoint["ports"])
        assert endpoint.get("protocol", "tcp") in {"tcp", "udp", "all"}


@pytest.mark.requirement("BND-03", "BND-28")
def test_a_bind_that_goes_on_is_202_with_an_operation_and_nothing_else(platform, impatient, external):
    instance_id, binding_id = platform.ready(), an_id()
    with external.holding(binding_id, "bind"):
        answer = impatient.bind(instance_id, binding_id, asynchronous=True)

    assert answer.status_code == 202
    assert set(answer.json()) == {"operation"}
    assert platform.settle(instance_id, binding_id).json()["state"] == "succeeded"


@pytest.mark.requirement("BND-28")
def test_an_offering_whose_bindings_cannot_be_fetched_never_binds_asynchronously(platform, external):
    instance_id, binding_id = platform.ready(order(PLAIN, service_id=PLAIN_SERVICE)), an_id()

    answer = platform.bind(instance_id, binding_id, ask(PLAIN, service_id=PLAIN_SERVICE), asynchronous=True)

    assert answer.status_code == 201
    assert answer.json()["credentials"]
    assert 400 <= platform.fetch(instance_id, binding_id).status_code < 500


@pytest.mark.requirement("BND-04", "BND-05")
def test_the_same_bind_of_a_finished_binding_is_200_with_the_same_credentials(platform, external):
    instance_id, binding_id = platform.ready(), an_id()
    body = ask(parameters={"role": "reader"}, bind_resource={"app_guid": "app"})

    first = platform.bind(instance_id, binding_id, body)
    again = [platform.bind(instance_id, binding_id, body, asynchronous=a) for a in (None, True, None)]

    assert [first.status_code, *(answer.status_code for answer in again)] == [201, 200, 200, 200]
    assert all(answer.json() == first.json() for answer in again)
    assert external.creations[binding_id] == 1


@pytest.mark.requirement("BND-06")
def test_the_same_bind_while_it_runs_is_202_with_the_first_operation(platform, impatient, external):
    instance_id, binding_id = platform.ready(), an_id()
    with external.holding(binding_id, "bind"):
        answers = [impatient.bind(instance_id, binding_id, asynchronous=True) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [202] * 2
    assert len({answer.json()["operation"] for answer in answers}) == 1
    platform.settle(instance_id, binding_id)
    assert external.creations[binding_id] == 1


@pytest.mark.requirement("BND-07", "BND-08")
@pytest.mark.parametrize(
    "other",
    [{"parameters": {"role": "writer"}}, {"parameters": ...}, {"parameters": {"role": "reader", "note": ""}}],
)
def test_the_same_binding_with_other_parameters_is_409_and_changes_nothing(platform, external, other):
    instance_id, binding_id = platform.ready(), an_id()
    first = platform.bind(instance_id, binding_id, ask(parameters={"role": "reader"})).json()

    refused(platform.bind(instance_id, binding_id, ask(**({"parameters": {"role": "reader"}} | other))), 409)

    assert platform.fetch(instance_id, binding_id).json()["credentials"] == first["credentials"]
    assert external.creations[binding_id] == 1


def in_the_bind_resource(app):
    return ask(bind_resource={"app_guid": app})


def in_its_older_place(app):
    return ask(app_guid=app)


@pytest.mark.requirement("BND-17")
@pytest.mark.parametrize("first", [in_the_bind_resource, in_its_older_place])
@pytest.mark.parametrize("again", [in_the_bind_resource, in_its_older_place])
def test_the_same_bind_is_one_for_the_same_app_wherever_that_is_named(platform, first, again):
    instance_id, binding_id = platform.ready(), an_id()

    answers = [
        platform.bind(instance_id, binding_id, body)
        for body in (first("app"), again("app"), again("another"), ask())
    ]

    assert [answer.status_code for answer in answers] == [201, 200, 409, 409]


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"service_id": ...}, marks=pytest.mark.requirement("BND-09")),
        pytest.param({"plan_id": ...}, marks=pytest.mark.requirement("BND-10")),
        pytest.param({"service_id": "unknown"}, marks=pytest.mark.requirement("BND-11")),
        pytest.param({"plan_id": "unknown"}, marks=pytest.mark.requirement("BND-11")),
        pytest.param({"plan_id": PLAIN}, marks=pytest.mark.requirement("BND-11")),
        pytest.param({"service_id": PLAIN_SERVICE, "plan_id": PLAIN}, marks=pytest.mark.requirement("BND-11")),
        pytest.param({"plan_id": ""}, marks=pytest.mark.requirement("BND-11")),
        *[pytest.param({"service_id": value}, marks=pytest.mark.requirement("BND-14")) for value in WRONG_TYPES],
        *[pytest.param({"plan_id": value}, marks=pytest.mark.requirement("BND-14")) for value in WRONG_TYPES],
        *[
            pytest.param({name: value}, marks=pytest.mark.requirement("BND-33"))
            for name, value in [
                ("parameters", "text"), ("parameters", [1]), ("bind_resource", "text"), ("bind_resource", [1]),
                ("context", [1]), ("context", "text"), ("app_guid", 7), ("bind_resource", {"app_guid": 7}),
            ]
        ],
        *[
            pytest.param({"parameters": value}, marks=pytest.mark.requirement("BND-15"))
            for value in [{"role": "owner"}, {"role": 1}, {"unknown": "x"}]
        ],
    ],
)  # fmt: skip
@pytest.mark.requirement("BND-29")
def test_a_bind_that_is_wrong_is_400_and_leaves_no_binding(platform, external, changes):
    instance_id, binding_id = platform.ready(), an_id()

    refused(platform.bind(instance_id, binding_id, ask(**changes)), 400)

    assert platform.fetch(instance_id, binding_id).status_code == 404
    assert platform.unbind(instance_id, binding_id).status_code == 410
    assert external.creations[binding_id] == 0


@pytest.mark.requirement("BND-12")
def test_binding_to_an_unknown_instance_is_404(platform):
    refused(platform.bind(an_id(), an_id()), 404)


@pytest.mark.requirement("BND-16")
def test_no_offering_needs_an_app_so_a_bind_without_one_is_served(platform):
    assert platform.bind(platform.ready(), an_id(), ask(bind_resource=..., app_guid=...)).status_code == 201


@pytest.mark.requirement("BND-18", "BND-31")
def test_bindings_of_one_instance_live_side_by_side_with_credentials_of_their_own(platform, external):
    instance_id = platform.ready()

    bound = [platform.bound(instance_id)[1]["credentials"] for _ in range(3)]

    assert len({credentials["password"] for credentials in bound}) == 3
    assert len({credentials["username"] for credentials in bound}) == 3
    assert {credentials["password"] for credentials in bound} <= external.passwords()


@pytest.mark.requirement("BND-20", "BND-21", "BND-32")
def test_a_binding_that_ends_says_when_and_when_to_renew_it(platform):
    instance_id = platform.ready(order(LARGE))

    _, bound = platform.bound(instance_id, ask(LARGE))

    metadata = bound["metadata"]
    assert set(metadata) == {"expires_at", "renew_before"}
    assert TIME.fullmatch(metadata["expires_at"])
    assert TIME.fullmatch(metadata["renew_before"])
    expires, renew = (datetime.fromisoformat(metadata[key]) for key in ("expires_at", "renew_before"))
    assert datetime.now(UTC) < renew <= expires
    assert abs(expires - datetime.now(UTC) - timedelta(days=30)) < timedelta(minutes=1)


@pytest.mark.requirement("BND-26")
def test_what_cannot_be_bound_is_refused(platform):
    instance_id = platform.ready(order(FIXED))

    answer = platform.bind(instance_id, an_id(), ask(FIXED))

    assert 400 <= answer.status_code < 500


@pytest.mark.requirement("BND-27")
def test_a_bind_during_the_making_is_a_concurrency_error(platform, impatient, external):
    instance_id = an_id()
    with external.holding(instance_id, "create"):
        platform.provision(instance_id)

        refused(impatient.bind(instance_id, an_id()), 422, "ConcurrencyError")
    platform.settle(instance_id)
    assert platform.bind(instance_id, an_id()).status_code == 201


def test_a_bind_that_meets_an_update_waits_for_it_instead_of_failing(platform, external):
    import threading

    instance_id, binding_id = platform.ready(order(parameters={"size": 1})), an_id()
    external.hold(instance_id, "update")
    from tests.osb.platform import change

    platform.update(instance_id, change(parameters={"size": 2}))
    soon = threading.Timer(0.5, external.release, (instance_id,))
    soon.start()

    answer = platform.bind(instance_id, binding_id)

    soon.join()
    assert answer.status_code == 201
    assert external.living(instance_id)[0].parameters == {"size": 2}


@pytest.mark.requirement("BND-11")
def test_a_bind_must_name_the_instances_own_plan(platform):
    instance_id = platform.ready(order(SMALL))

    answer = platform.bind(instance_id, an_id(), ask(LARGE, service_id=SERVICE))

    refused(answer, 400)
