"""Tables of rules and catalogs for tests."""

from dataclasses import replace

from broker.domain.catalog import Catalog, ServiceOffering, ServicePlan
from broker.domain.globs import Pattern, PlanPattern
from broker.domain.instances import Context
from broker.domain.tenant_rules import ParameterRule, Place, Quota, Rule, TenantRules, View, Visible
from broker.domain.tenants import When
from tests.osb.offerings import CATALOG, SERVICE, SMALL

HOME = "11111111-2222-4333-8444-555555555555"
ELSEWHERE = "99999999-8888-4777-8666-555555555555"


def when(**keys: str | list[str]) -> When:
    return When(
        {
            key.replace("__", "."): tuple(map(Pattern, [said] if isinstance(said, str) else said))
            for key, said in keys.items()
        }
    )


def rules(*table: Rule, views: tuple[View, ...] = ()) -> TenantRules:
    return TenantRules(table, views)


def force(plans: str, **values: object) -> ParameterRule:
    return ParameterRule(PlanPattern(plans), force=values)


def default(plans: str, **values: object) -> ParameterRule:
    return ParameterRule(PlanPattern(plans), default=values)


def only(*plans: str) -> Visible:
    return Visible(tuple(map(PlanPattern, plans)))


def none_of(*plans: str) -> Visible:
    return Visible(deny=tuple(map(PlanPattern, plans)))


def quota(limit: int, per: str, *plans: str, rule: str = "all", name: str = "things", ask: str = "") -> Quota:
    return Quota(name, rule, tuple(map(PlanPattern, plans or ["*"])), per, limit, ask)


def place(subscription: str | None = HOME, resource_group: str | None = None) -> Place:
    return Place(subscription, resource_group)


def kubernetes(namespace: str, cluster: str = "c1", **more: object) -> Context:
    whole = {"platform": "kubernetes", "clusterid": cluster, "namespace": namespace, **more}
    return Context(platform_kind="kubernetes", cluster=cluster, namespace=namespace, whole=whole)


def cloud_foundry(organization: str, space: str, **more: object) -> Context:
    whole = {"platform": "cloudfoundry", "organization_guid": organization, "space_guid": space, **more}
    return Context(platform_kind="cloudfoundry", organization=organization, space=space, whole=whole)


def parameters_of(plan: ServicePlan) -> dict[str, dict[str, object]]:
    return {name: {"in_template": False} for name in (plan.create_schema or {}).get("properties", {})}


def with_recipes(catalog: Catalog) -> Catalog:
    """Return a catalog whose plans know their parameters, as those from files do."""
    return replace(
        catalog,
        offerings=tuple(
            replace(
                offering,
                plans=tuple(
                    replace(
                        plan,
                        recipe={
                            "kind": "external",
                            "user": parameters_of(plan),
                            "placement": {"group": "shared"},
                        },
                    )
                    for plan in offering.plans
                ),
            )
            for offering in catalog.offerings
        ),
    )


THINGS = with_recipes(CATALOG)


def small(catalog: Catalog = THINGS) -> tuple[ServiceOffering, ServicePlan]:
    return catalog.plan(SERVICE, SMALL)
