"""What tenant rules have to say when something is ordered or changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from broker.domain.catalog import Catalog, ServicePlan
from broker.domain.instances import ServiceInstance
from broker.domain.json_values import JsonObject
from broker.domain.tenant_rules import SCOPES, Quota, TenantRules, Terms, scope_of
from broker.domain.tenant_terms import kept_terms, tailored, with_parameters, written
from broker.domain.tenants import Tenant
from broker.errors import QuotaUsedUp, UnknownServicePlan, shown
from broker.store import quotas
from broker.store.database import Transaction


@dataclass(frozen=True)
class Order:
    """A plan as a tenant may order it."""

    tenant: Tenant
    rules: TenantRules
    catalog: Catalog
    plan: ServicePlan
    terms: Terms

    def written(self) -> JsonObject:
        """Return what is kept of it with the new instance."""
        return written(self.terms, self.plan.id, self.tenant.view)


def order_of(
    rules: TenantRules,
    catalog: Catalog,
    tenant: Tenant,
    service_offering_id: str,
    service_plan_id: str,
    *,
    importing: bool = False,
) -> Order:
    """
    Find what *tenant* orders, or what an operator imports for it: that may be hidden from it, and withdrawn.

    Raises:
        UnknownServicePlan: There is no such pair of ids, or it is not for this tenant: one answer for both.
        NotOrdered: It takes no new orders, and tells why.
    """
    offering, plan = catalog.plan(service_offering_id, service_plan_id)
    terms = rules.terms(tenant, offering, plan)
    if importing:
        plan = plan.to_import()
    elif terms.hidden:
        raise UnknownServicePlan(service_offering_id, service_plan_id)
    else:
        catalog.orderable(service_offering_id, service_plan_id)
    return Order(tenant, rules, catalog, tailored(plan, terms), terms)


def tenant_of(instance: ServiceInstance) -> Tenant:
    """Return whose an instance is, by what is stored of it."""
    return Tenant.of(instance.platform, instance.context, instance.terms.get("view", ""))


@dataclass(frozen=True)
class Standing:
    """
    What the rules say to a request for an instance that there is.

    `catalog` is as it is for that instance, as far as its own plans and the wanted one go: its own are as they were
    given to it, in its tenant's view or not, and the wanted one is as the rules have it now. `wanted` is what they
    give for that; None if it is the instance's own already, or unknown.
    """

    rules: TenantRules
    catalog: Catalog
    wanted: Terms | None = None


def standing_of(
    rules: TenantRules, catalog: Catalog, instance: ServiceInstance | None, wanted: str | None
) -> Standing:
    """Look at an instance by what is stored of it, and at the plan that the request names."""
    if instance is None or not (rules.rules or instance.terms):
        return Standing(rules, catalog)
    own = {one.service_plan_id for one in (instance.applied, instance.asked) if one is not None}
    plans: dict[tuple[str, str], ServicePlan | None] = {}
    given = None
    for plan_id in sorted(own | ({wanted} if wanted else set())):
        ids = instance.service_offering_id, plan_id
        offering, plan = catalog.offering(ids[0]), catalog.find(*ids)
        if offering is None or plan is None:
            continue
        kept = kept_terms(instance.terms, plan_id)
        if plan_id not in own:
            terms = rules.terms(tenant_of(instance), offering, plan)
            # Where it is, and what it is tagged with, stays for life.
            given = replace(kept, parameters=terms.parameters, quotas=terms.quotas)
            plans[ids] = None if terms.hidden else tailored(plan, given)
        else:
            plans[ids] = tailored(plan, kept)
    return Standing(rules, catalog.with_plans(_unseen(rules, catalog, instance) | plans), given)


def _unseen(
    rules: TenantRules, catalog: Catalog, instance: ServiceInstance
) -> dict[tuple[str, str], ServicePlan | None]:
    """Return which of the plans that an instance can move to its tenant does not know: a refusal names the others."""
    offering = catalog.offering(instance.service_offering_id)
    made = instance.applied
    present = catalog.find(offering.id, made.service_plan_id) if offering and made else None
    if offering is None or present is None or present.updates_to is None:
        return {}
    tenant = tenant_of(instance)
    return {
        (offering.id, plan.id): None
        for plan in offering.plans
        if plan.id in present.updates_to and rules.terms(tenant, offering, plan).hidden
    }


async def check_quotas(tx: Transaction, order: Order, instance_id: str) -> None:
    """
    Refuse a new instance that would be one too many; what is told here holds until the transaction ends.

    Raises:
        QuotaUsedUp: A quota is used up.
    """
    await _check(tx, order.rules, order.catalog, order.tenant, order.terms.quotas, instance_id)


async def moved_to(tx: Transaction, standing: Standing, instance: ServiceInstance, wanted: str) -> JsonObject:
    """
    Return what is kept of an instance with its new plan, and refuse it where it would be one too many there.

    Raises:
        QuotaUsedUp: A quota that counts the new plan, and not the present one, is used up.
    """
    if standing.wanted is None:
        return instance.terms
    offering, plan = standing.catalog.plan(instance.service_offering_id, wanted)
    applied = instance.applied.service_plan_id if instance.applied else ""
    present = standing.catalog.find(instance.service_offering_id, applied)
    newly = [
        quota
        for quota in standing.wanted.quotas
        if present is None or not quota.counts(offering.name, present.name)
    ]
    await _check(tx, standing.rules, standing.catalog, tenant_of(instance), newly, instance.instance_id)
    return with_parameters(instance.terms, standing.wanted, plan.id)


async def _check(
    tx: Transaction,
    rules: TenantRules,
    catalog: Catalog,
    tenant: Tenant,
    counting: Sequence[Quota],
    instance_id: str,
) -> None:
    await quotas.lock(tx, [(quota.name, scope_of(quota, tenant)) for quota in counting])
    for quota in counting:
        used = await _used(tx, rules, catalog, tenant, quota, besides=(tenant.platform, instance_id))
        if used >= quota.limit:
            raise QuotaUsedUp(
                quota.name,
                _named(quota, tenant),
                ", ".join(pattern.text for pattern in quota.plans),
                used=used,
                limit=quota.limit,
                ask=quota.ask,
            )


async def _used(
    tx: Transaction,
    rules: TenantRules,
    catalog: Catalog,
    tenant: Tenant,
    quota: Quota,
    *,
    besides: tuple[str, str],
) -> int:
    plan_ids = quota.plan_ids(catalog)
    if quota.per != "rule":
        within = dict(zip(SCOPES[quota.per], scope_of(quota, tenant), strict=True))
        return await quotas.living(tx, plan_ids, within, besides=besides)
    # Only the rules that have the quota can tell for whom they are; to read each instance's context takes its time.
    having = [rule for rule in rules.rules if any(one.name == quota.name for one in rule.quotas)]
    whole = any(rule.when.reads_context for rule in having)
    found = await quotas.places(tx, plan_ids, besides=besides, whole=whole)
    return sum(
        counted.number
        for counted in found
        if rules.quota(Tenant.of(counted.platform, counted.context, counted.view), quota.name) == quota
    )


def _named(quota: Quota, tenant: Tenant) -> str:
    if quota.per == "rule":
        return f"the rule {shown(quota.rule)}"
    told = tenant.told(quota.per)
    return f"{quota.per} {shown(told)}" if told else f"all that name no {quota.per}"
