"""Which rule gives which value: the first one, in the order of the table, that is for the tenant and has it."""

import pytest

from broker.domain.instances import Context
from broker.domain.tenant_rules import Given, ParameterValue, Rule, Terms
from broker.domain.tenant_terms import kept_terms, tailored, with_parameters, written
from broker.domain.tenants import Tenant
from broker.errors import InvalidParameters
from tests.tenants.tables import (
    ELSEWHERE,
    HOME,
    cloud_foundry,
    default,
    force,
    kubernetes,
    none_of,
    only,
    place,
    quota,
    rules,
    small,
    when,
)


def terms(table, tenant):
    return table.terms(tenant, *small())


def test_each_value_comes_from_the_first_rule_that_has_it():
    table = rules(
        Rule("payments", when(namespace="pay-*"), location="northeurope", tags={"team": "payments"}),
        Rule("all", place=place(HOME), location="westeurope", tags={"Team": "nobody", "stage": "test"}),
    )

    given = terms(table, Tenant.of("k8s", kubernetes("pay-eu")))

    assert given.location == Given("northeurope", "payments")
    assert given.place == Given(place(HOME), "all")
    assert given.tags == {"team": Given("payments", "payments"), "stage": Given("test", "all")}


def test_subscription_and_group_are_one_value_and_never_mixed_from_two_rules():
    table = rules(Rule("first", place=place(ELSEWHERE)), Rule("second", place=place(HOME, "shared")))

    given = terms(table, Tenant("k8s"))

    assert given.place == Given(place(ELSEWHERE, None), "first")


def test_a_parameter_that_is_forced_below_is_a_default_where_a_rule_above_says_so():
    table = rules(
        Rule("payments", when(namespace="pay-*"), parameters=(default("kept-things", size=5),)),
        Rule("all", parameters=(force("*/small", size=1, tier="cool"), default("*", note="from the rule"))),
    )

    pay = terms(table, Tenant.of("k8s", kubernetes("pay-eu"))).parameters
    others = terms(table, Tenant.of("k8s", kubernetes("web"))).parameters

    assert pay["size"] == Given(ParameterValue(5, forced=False), "payments")
    assert others["size"] == Given(ParameterValue(1, forced=True), "all")
    assert pay["tier"] == others["tier"] == Given(ParameterValue("cool", forced=True), "all")


def test_the_first_rule_that_speaks_of_plans_decides_on_all_of_them():
    table = rules(
        Rule("premium", when(namespace="pay-*"), plans=only("kept-things")),
        Rule("all", plans=none_of("*/small")),
    )

    assert not terms(table, Tenant.of("k8s", kubernetes("pay-eu"))).hidden
    assert terms(table, Tenant.of("k8s", kubernetes("web"))).hidden
    assert not terms(rules(), Tenant.of("k8s", kubernetes("web"))).hidden


def test_a_quota_is_the_first_one_of_its_name_and_only_for_plans_that_it_counts():
    mine, theirs = quota(20, "namespace", rule="pay"), quota(5, "namespace")
    table = rules(
        Rule("pay", when(namespace="pay-*"), quotas=(mine,)),
        Rule("all", quotas=(theirs, quota(1, "platform", "plain-things", name="others"))),
    )

    assert terms(table, Tenant.of("k8s", kubernetes("pay-eu"))).quotas == (mine,)
    assert terms(table, Tenant.of("k8s", kubernetes("web"))).quotas == (theirs,)


@pytest.mark.parametrize("namespace", [None, "", "web"])
def test_what_a_platform_does_not_tell_matches_no_pattern(namespace):
    context = Context(namespace=namespace, cluster="c1") if namespace != "" else Context()

    assert when(namespace="*").matches(Tenant.of("k8s", context)) is (namespace == "web")


def test_the_made_up_organization_that_service_catalog_sends_counts_for_nothing():
    context = Context(
        cluster="c1", namespace="web", organization="c1", space="uid-of-web", whole={"namespace": "web"}
    )

    tenant = Tenant.of("k8s", context)

    assert (tenant.organization, tenant.space) == (None, None)
    assert not when(organization="*").matches(tenant)


def test_who_sends_no_context_is_known_by_organization_and_space():
    tenant = Tenant.of("korifi", Context(organization="o1", space="s1"))

    assert when(organization="o1", space="s?").matches(tenant)


def test_names_and_annotations_come_from_the_context_of_clients_that_send_them():
    context = cloud_foundry(
        "o1", "s1", organization_name="bank", space_annotations={"example.org/tier": "gold"},
        namespace_annotations={"team": "pay"}, instance_annotations={"tier": "gold"},
    )  # fmt: skip
    tenant = Tenant.of("cf", context)

    assert when(organization_name="bank", **{"space_annotations.example.org/tier": "gold"}).matches(tenant)
    assert not when(**{"namespace_annotations.team": "*"}).matches(tenant)
    assert not when(**{"space_annotations.other": "*"}).matches(tenant)


@pytest.mark.parametrize("value", [None, 7, ["gold"], {"a": "b"}, ""])
def test_an_annotation_that_is_no_text_is_none(value):
    tenant = Tenant.of("cf", cloud_foundry("o1", "s1", space_annotations={"tier": value}))

    assert not when(**{"space_annotations.tier": "*"}).matches(tenant)


def test_a_forced_parameter_takes_no_other_value_and_need_not_be_ordered():
    _, plan = small()
    given = {"tier": Given(ParameterValue("cool", forced=True), "all")}

    changed = tailored(plan, Terms(parameters=given))

    changed.create_parameters.check({"tier": "cool"})
    changed.create_parameters.check({})
    with pytest.raises(InvalidParameters, match="tier"):
        changed.create_parameters.check({"tier": "hot"})
    with pytest.raises(InvalidParameters, match="tier"):
        changed.update_parameters.check({"tier": "hot"})
    assert changed.recipe["user"]["tier"]["default"] == "cool"


@pytest.mark.parametrize("name", ["unheard_of", "secret"])
def test_a_parameter_that_the_plan_does_not_have_or_has_as_a_secret_is_passed_over(name):
    _, plan = small()
    given = {name: Given(ParameterValue("x", forced=True), "all")}

    assert tailored(plan, Terms(parameters=given)) is plan


def test_what_is_written_down_reads_the_same_and_keeps_what_holds_for_each_plan():
    given = Terms(
        place=Given(place(HOME, "group"), "a"),
        location=Given("westeurope", "b"),
        tags={"team": Given("payments", "c")},
        parameters={"size": Given(ParameterValue(5, forced=True), "d")},
    )
    other = Terms(parameters={"size": Given(ParameterValue(7, forced=False), "e")})

    kept = with_parameters(written(given, "small", "inside"), other, "large")

    assert kept["view"] == "inside"
    assert kept_terms(kept, "small") == given
    assert kept_terms(kept, "large").parameters == other.parameters
    assert kept_terms(kept, "large").place == given.place
    assert written(Terms(), "small", "") == {}


def test_a_catalog_shows_a_plan_that_somebody_on_the_platform_may_order():
    table = rules(
        Rule("gold", when(platform="k8s", namespace="gold-*"), plans=only("*")),
        Rule("k8s", when(platform="k8s"), plans=none_of("*/large")),
        Rule("all", plans=none_of("*")),
    )

    assert table.audience("k8s", "").shows("kept-things", "large")
    assert table.audience("k8s", "").shows("kept-things", "small")
    assert not table.audience("cf", "").shows("kept-things", "small")
    assert not rules(*table.rules[1:]).audience("k8s", "").shows("kept-things", "large")
