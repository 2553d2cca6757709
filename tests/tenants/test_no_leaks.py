"""No rule leaks from one tenant to another: what one is given does not depend on rules that are for others alone."""

from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broker.api.catalog import seen_by
from broker.domain.globs import Pattern
from broker.domain.instances import Context
from broker.domain.tenant_rules import Place, Rule, TenantRules, Terms, scope_of
from broker.domain.tenant_terms import kept_terms, tailored, written
from broker.domain.tenants import Tenant, When
from broker.lifecycle.tenancy import order_of
from broker.store.quotas import _lock_number
from tests.osb.offerings import LARGE, SERVICE, SMALL
from tests.tenants.tables import HOME, THINGS, cloud_foundry, default, force, kubernetes, none_of, only, quota
from tests.tenants.test_patterns import plainly_matches

# Names that are alike: in case, in normal form, in what they spell as a pattern, or but for what cannot be seen.
NAMES = st.sampled_from(
    ["pay", "Pay", "pay ", "pay-eu", "pay*", "p?y", "[pay]", "pa\\y", "caf\u00e9", "cafe\u0301", "pay\u200b",
     "p\u0430y", "pay\n", "STRASSE", "stra\u00dfe", "\u0130", "i", "*", "\\*", ".", "a/b", '","', "\x00", "None"]
)  # fmt: skip
PATTERNS = NAMES | st.sampled_from(["*", "p*", "*y", "pay-*", "?", "pa?", "\\?", "**", "*-*", "caf*"])
SAID = st.none() | NAMES
SCOPE = ("platform", "cluster", "namespace", "organization", "space")
KEYS = (
    "platform", "view", "cluster", "namespace", "organization", "space", "organization_name", "space_name",
    "namespace_annotations.team", "space_annotations.team", "organization_annotations.pay",
)  # fmt: skip


@st.composite
def tenants(draw):
    platform, view = (
        draw(st.sampled_from(["k8s", "K8s", "cf", "k8s*"])),
        draw(st.sampled_from(["", "inside", "outside"])),
    )
    team = draw(st.fixed_dictionaries({}, optional={"team": SAID, "pay": SAID}))
    context = draw(
        st.one_of(
            st.builds(lambda n, c: kubernetes(n, c, namespace_annotations=team, space_annotations=team), NAMES, NAMES),
            st.builds(
                lambda o, s, n: cloud_foundry(o, s, organization_name=n, space_name=n, space_annotations=team),
                NAMES, NAMES, NAMES,
            ),
            st.builds(lambda o, s: Context(organization=o, space=s), SAID, SAID),
            st.just(Context()),
        )
    )  # fmt: skip
    return Tenant.of(platform, context, view)


@st.composite
def neighbours(draw):
    """Two tenants that differ in one thing at most."""
    one = draw(tenants())
    told = [key for key in SCOPE if getattr(one, key) is not None]
    key = draw(st.sampled_from(told))
    return one, replace(one, **{key: draw(NAMES)})


WHENS = st.dictionaries(st.sampled_from(KEYS), st.lists(PATTERNS, min_size=1, max_size=2), max_size=3).map(
    lambda keys: When({key: tuple(map(Pattern, patterns)) for key, patterns in keys.items()})
)
PLANS = st.sampled_from(["*", "kept-things", "*/small", "kept-*/large", "plain-things/plain"])


@st.composite
def tables(draw):
    table = []
    for number in range(draw(st.integers(0, 6))):
        name = f"rule{number}"
        table.append(
            Rule(
                name=name,
                when=draw(WHENS),
                place=draw(st.none() | st.builds(Place, st.just(HOME), st.sampled_from([None, name]))),
                location=draw(st.none() | st.just(name)),
                tags=draw(st.dictionaries(st.sampled_from(["team", "Team", "cost"]), st.just(name), max_size=2)),
                plans=draw(st.none() | st.builds(only, PLANS) | st.builds(none_of, PLANS)),
                parameters=draw(
                    st.lists(
                        st.builds(lambda p, n=number: force(p, size=n + 1), PLANS)
                        | st.builds(lambda p, n=name: default(p, note=n, tier="cool"), PLANS),
                        max_size=2,
                    ).map(tuple)
                ),
                quotas=draw(
                    st.lists(
                        st.builds(
                            lambda limit, per, p, n=name: quota(limit, per, p, rule=n),
                            st.integers(0, 3), st.sampled_from(["namespace", "platform", "space", "rule"]), PLANS,
                        ),
                        max_size=1,
                    ).map(tuple)
                ),
            )
        )  # fmt: skip
    return TenantRules(tuple(table))


def is_for(rule: Rule, tenant: Tenant) -> bool:
    """Tell, by reading letter by letter, whether a rule is for a tenant."""

    def said(key: str) -> object:
        kind, _, name = key.partition(".")
        return tenant.annotations.get(kind, {}).get(name) if name else getattr(tenant, kind)

    return all(
        isinstance(value := said(key), str)
        and value != ""
        and any(plainly_matches(pattern.text, value) for pattern in patterns)
        for key, patterns in rule.when.keys.items()
    )


def all_terms(table: TenantRules, tenant: Tenant) -> list[Terms]:
    return [table.terms(tenant, *THINGS.plan(SERVICE, plan)) for plan in (SMALL, LARGE)]


CHEAP = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@CHEAP
@given(tables(), neighbours())
def test_what_a_tenant_is_given_depends_on_the_rules_for_him_alone(table, both):
    tenant, other = both
    for_him = replace(table, rules=tuple(rule for rule in table.rules if is_for(rule, tenant)))
    changed_for_others = replace(
        table,
        rules=tuple(
            rule
            if is_for(rule, tenant)
            else Rule(rule.name, rule.when, location="elsewhere", plans=none_of("*"))
            for rule in table.rules
        ),
    )

    told = all_terms(table, tenant)
    all_terms(table, other)

    assert (
        told
        == all_terms(for_him, tenant)
        == all_terms(changed_for_others, tenant)
        == all_terms(table, tenant)
    )
    names = {rule.name for rule in for_him.rules}
    for terms in told:
        rules = [one.rule for one in (terms.place, terms.location, terms.visible) if one]
        rules += [one.rule for one in (*terms.tags.values(), *terms.parameters.values(), *terms.quotas)]
        assert set(rules) <= names


@CHEAP
@given(tables(), neighbours())
def test_what_is_frozen_into_an_order_holds_nothing_of_a_rule_for_others(table, both):
    tenant, other = both
    plan = THINGS.plan(SERVICE, SMALL)[1]
    theirs = table.terms(other, *THINGS.plan(SERVICE, SMALL))
    tailored(plan, theirs)
    mine = table.terms(tenant, *THINGS.plan(SERVICE, SMALL))
    if mine.hidden:
        return

    order = order_of(table, THINGS, tenant, SERVICE, SMALL)

    text = repr((order.plan.recipe, order.written()))
    for rule in table.rules:
        if not is_for(rule, tenant):
            assert f"'{rule.name}'" not in text
    assert kept_terms(order.written(), SMALL).parameters == mine.parameters
    assert written(mine, SMALL, tenant.view) == order.written()
    assert plan == THINGS.plan(SERVICE, SMALL)[1]


@CHEAP
@given(neighbours())
def test_two_tenants_are_counted_together_only_within_the_very_same_scope(both):
    within = {
        "platform": ("platform",),
        "cluster": ("platform", "cluster"),
        "namespace": ("platform", "cluster", "namespace"),
        "organization": ("platform", "organization"),
        "space": ("platform", "organization", "space"),
    }

    for per, keys in within.items():
        scopes = [scope_of(quota(1, per), tenant) for tenant in both]
        same = all(getattr(both[0], key) == getattr(both[1], key) for key in keys)

        assert (scopes[0] == scopes[1]) is same
        assert (_lock_number("things", scopes[0]) == _lock_number("things", scopes[1])) is same


@CHEAP
@given(tables(), tenants())
def test_a_platforms_catalog_shows_whatever_one_of_its_tenants_may_order_and_nothing_that_is_not_so(
    table, tenant
):
    audience = table.audience(tenant.platform, tenant.view)
    shown = {plan.id for offering in seen_by(THINGS, audience).offerings for plan in offering.plans}

    for offering in THINGS.offerings:
        for plan in offering.plans:
            terms, certain = table.terms(tenant, offering, plan), audience.certain(offering.name, plan.name)
            if not terms.hidden:
                assert plan.id in shown
            assert certain.location in {None, terms.location}
            assert certain.parameters.items() <= terms.parameters.items()
