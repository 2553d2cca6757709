"""Rules when something is ordered, and what is left of them afterwards: the stored context, and what was given then."""

import pytest

from broker.domain.tenant_rules import Rule
from broker.errors import ChangeNotSupported, InvalidParameters, UnknownServicePlan
from broker.lifecycle.administration.instances import InstanceAdministration
from tests.osb.offerings import LARGE, SERVICE, SMALL, STEPWISE
from tests.tenants.tables import (
    ELSEWHERE,
    HOME,
    default,
    force,
    kubernetes,
    none_of,
    place,
    when,
)

pytestmark = pytest.mark.anyio

PAY = kubernetes("pay")
WEB = kubernetes("web")


async def test_place_tags_and_parameters_are_frozen_into_the_operation_and_kept_with_the_instance(desk):
    desk.table.says(
        Rule("pay", when(namespace="pay"), place=place(HOME, "payments"), location="westeurope",
             tags={"team": "payments"}, parameters=(force("*", size=3), default("*", note="n"))),
    )  # fmt: skip

    await desk.ready("a", context=PAY, parameters={"tier": "hot"})
    await desk.ready("b", context=WEB)
    instance, recipe = await desk.kept("a")
    other, plain = await desk.kept("b")

    assert recipe["placement"] == {
        "group": "shared", "subscription": HOME, "resource_group": "payments", "location": "westeurope",
    }  # fmt: skip
    assert recipe["tags"] == {"team": "payments"}
    assert (recipe["user"]["size"]["default"], recipe["user"]["note"]["default"]) == (3, "n")
    shown = await InstanceAdministration(desk.database, desk.shop).show("a", None)
    assert shown.terms["place"] == {"subscription": HOME, "resource_group": "payments", "rule": "pay"}
    assert shown.terms["parameters"][SMALL]["size"] == {"value": 3, "forced": True, "rule": "pay"}
    assert instance.applied.parameters == {"tier": "hot"}
    assert (other.terms, plain["placement"], "tags" in plain) == ({}, {"group": "shared"}, False)


async def test_a_forced_parameter_is_refused_in_an_order_and_in_an_update(desk):
    desk.table.says(Rule("all", parameters=(force("*", size=3),)))
    await desk.ready("a", parameters={"size": 3})

    with pytest.raises(InvalidParameters, match="'size' must be one of"):
        await desk.order("b", parameters={"size": 4})
    with pytest.raises(InvalidParameters, match="'size' must be one of"):
        await desk.update("a", parameters={"size": 4})


async def test_the_same_order_again_finds_the_instance_whatever_the_rules_say_by_then(desk):
    desk.table.says(Rule("all", parameters=(force("*", size=3),)))
    await desk.ready("a", context=PAY)
    desk.table.says(Rule("all", plans=none_of("*")))

    again = await desk.order("a", context=PAY)

    assert not hasattr(again, "operation_id")


async def test_an_update_goes_by_what_was_given_then_and_not_by_rules_that_changed(desk):
    desk.table.says(Rule("all", tags={"team": "old"}, parameters=(force("*", size=3),)))
    await desk.ready("a", context=PAY)
    desk.table.says(Rule("all", tags={"team": "new"}, parameters=(force("*", size=9),)))

    await desk.changed("a", parameters={"tier": "cool"})
    instance, recipe = await desk.kept("a")

    assert recipe["user"]["size"]["default"] == 3
    assert instance.terms["tags"]["team"]["value"] == "old"


async def test_a_request_cannot_choose_other_rules_by_another_context_once_the_instance_is_there(desk):
    desk.table.says(
        Rule("pay", when(namespace="pay"), place=place(HOME), plans=none_of("*/large"),
             parameters=(force("*", size=3),)),
        Rule("web", when(namespace="web"), place=place(ELSEWHERE), parameters=(force("*", size=9),)),
    )  # fmt: skip
    await desk.ready("a", context=PAY)

    with pytest.raises(UnknownServicePlan):
        await desk.update("a", service_plan_id=LARGE, context=WEB)
    await desk.changed("a", context=WEB, parameters={"tier": "cool"})
    instance, recipe = await desk.kept("a")

    assert instance.context.namespace == "web"
    assert recipe["user"]["size"]["default"] == 3
    assert recipe["placement"]["subscription"] == HOME


async def test_an_instance_whose_context_was_moved_keeps_its_place_and_is_judged_by_its_new_context(desk):
    desk.table.says(
        Rule("pay", when(namespace="pay"), place=place(HOME), plans=none_of("*/large")),
        Rule("web", when(namespace="web"), place=place(ELSEWHERE), parameters=(force("*/large", size=9),)),
    )
    await desk.ready("a", context=PAY)
    await desk.update("a", context=WEB)

    await desk.changed("a", service_plan_id=LARGE)
    instance, recipe = await desk.kept("a")

    assert instance.applied.service_plan_id == LARGE
    assert recipe["user"]["size"]["default"] == 9
    assert recipe["placement"]["subscription"] == HOME
    assert instance.terms["place"] == {"subscription": HOME, "resource_group": None, "rule": "pay"}


async def test_a_plan_out_of_view_is_the_same_refusal_as_an_unknown_one(desk):
    unseen = "5c1a52d4-7a3c-4e0b-9a35-2d0b5b6fffff"
    desk.table.says(Rule("all", plans=none_of("*/large")))
    await desk.ready("a", context=PAY)

    said = []
    for plan in (LARGE, unseen):
        for ask in (
            lambda plan=plan: desk.order("n", plan=plan),
            lambda plan=plan: desk.order("n", plan=plan, accepts_incomplete=False),
            lambda plan=plan: desk.order("n", plan=plan, parameters={"nonsense": 1}, maintenance_version="0"),
            lambda plan=plan: desk.update("a", service_plan_id=plan),
            lambda plan=plan: desk.update("a", service_plan_id=plan, maintenance_version="0"),
            lambda plan=plan: desk.bind("a", "b", service_plan_id=plan),
        ):
            with pytest.raises(UnknownServicePlan) as refusal:
                await ask()
            said.append(refusal.value.description.replace(plan, "PLAN"))

    assert len(set(said)) == 1


async def test_a_refused_change_of_plan_names_no_plan_out_of_view(desk):
    desk.table.says(Rule("all", plans=none_of("*/large")))
    await desk.ready("a", plan=STEPWISE, context=PAY)

    with pytest.raises(ChangeNotSupported) as refusal:
        await desk.update("a", service_plan_id=SMALL)

    assert "'small'" in refusal.value.description
    assert "large" not in refusal.value.description


async def test_an_instance_on_a_plan_that_left_the_view_is_updated_bound_and_deleted(desk):
    await desk.ready("a", context=PAY)
    desk.table.says(Rule("all", plans=none_of("*")))

    await desk.changed("a", service_plan_id=SMALL, parameters={"tier": "cool"})
    bound = await desk.bind("a", "b")
    await desk.unbind("a", "b")
    await desk.gone("a")

    assert bound.credentials
    with pytest.raises(UnknownServicePlan):
        await desk.order("a", service=SERVICE, plan=SMALL, context=PAY)


async def test_a_failed_creation_that_is_tried_again_gets_what_the_rules_say_by_then(desk):
    desk.table.says(Rule("all", place=place(HOME)))
    desk.external.fail("a", "create", "No luck.")
    await desk.order("a", context=PAY)
    assert (await desk.ended("a")).state == "failed"
    desk.external.mend("a")
    desk.table.says(Rule("all", place=place(ELSEWHERE)))

    await desk.ready("a", context=PAY)
    instance, recipe = await desk.kept("a")

    assert recipe["placement"]["subscription"] == ELSEWHERE
    assert instance.terms["place"]["subscription"] == ELSEWHERE
