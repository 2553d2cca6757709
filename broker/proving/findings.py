"""What Azure allows the broker, compared with what the catalog's plans need."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from broker.azure.arm import Arm
from broker.azure.failures import AzureFailure, NotAuthorized
from broker.azure.permissions import ASSIGNS_ROLES, missing_actions, needed_actions, purging_actions
from broker.catalog.faults import CatalogRefused, refused
from broker.catalog.file_sets import Files
from broker.catalog.reader import read_sources
from broker.catalog.rights import Rights
from broker.domain.catalog import Catalog, ServiceOffering, ServicePlan
from broker.metrics import Metrics
from broker.proving.role_definition import may_assign, not_in_conditions
from broker.settings import Settings
from broker.shipped import shipped

State = Literal["ok", "missing", "unsure"]

_MAKE_GROUPS = "Microsoft.Resources/subscriptions/resourceGroups/write"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; `unsure` neither helps nor hinders."""

    subject: str
    state: State
    text: str
    advice: str = ""

    def __str__(self) -> str:
        return f"{self.state:7}  {self.subject}: {self.text}{f' {self.advice}' if self.advice else ''}"


@dataclass
class Scope:
    """A resource group, or with `group` None a subscription, and what the plans want to make there."""

    subscription: str
    group: str | None
    rights: Rights = field(default_factory=Rights)
    own_groups: bool = False
    makes_group: bool = False


async def looked_around(settings: Settings) -> list[Finding]:
    """Read the catalog, open a client of Azure and look; see `look_around`."""
    from broker.app import cloud_of, resource_manager  # noqa: PLC0415 - app imports every part

    catalog = catalog_of(settings)
    async with resource_manager(settings, cloud_of(settings), Metrics()) as arm:
        return await look_around(arm, settings, catalog)


def catalog_of(settings: Settings) -> Catalog:
    """
    Read the files that a broker with these settings would publish: what overlays let be adopted is among it.

    Raises:
        CatalogRefused: With every fault that was found.
    """
    files = Files(
        settings.catalog_folder or shipped("catalog"),
        settings.catalog_built_in,
        settings.catalog_overlays,
        settings.legacy_catalog,
    )
    sources = [source for _, source in files.read().sources]
    catalog, faults = read_sources([source for source in sources if source.files] or sources)
    if refusals := refused(faults):
        raise CatalogRefused(refusals)
    return catalog


async def look_around(arm: Arm, settings: Settings, catalog: Catalog) -> list[Finding]:
    """Ask Azure for everything that the catalog's plans need; nothing is changed. Failures become findings."""
    found, scopes = [], scopes_of(catalog, settings)
    for subscription in dict.fromkeys(scope.subscription for scope in scopes):
        there = await _subscription(arm, settings, subscription)
        found += there
        if there[0].state == "missing":
            return found
        for namespace in _namespaces(scopes, subscription):
            found += await _provider(arm, subscription, namespace, scopes)
    for scope in scopes:
        found += await _scope(arm, settings, scope)
    for subscription in dict.fromkeys(scope.subscription for scope in scopes):
        found += await _purging(arm, subscription, scopes)
    return [*found, *_egress(settings, catalog)]


def scopes_of(catalog: Catalog, settings: Settings) -> list[Scope]:
    """Return where the plans would make resources, each place once."""
    scopes: dict[tuple[str, str | None, bool], Scope] = {}
    for offering, plan in _placed(catalog):
        placement = _placement(catalog, offering, plan)
        subscription = str(placement.get("subscription") or settings.azure_subscription_id)
        own = placement.get("group") == "own"
        group = None if own else placement.get("resource_group") or settings.azure_resource_group
        scope = scopes.setdefault((subscription, group, own), Scope(subscription, group, own_groups=own))
        scope.makes_group |= bool(placement.get("create_group"))
        scope.rights.add(plan)
    return list(scopes.values())


def _placed(catalog: Catalog) -> Iterator[tuple[ServiceOffering, ServicePlan]]:
    for offering in catalog.offerings:
        for plan in offering.plans:
            yield offering, plan


def _placement(catalog: Catalog, offering: ServiceOffering, plan: ServicePlan) -> dict[str, Any]:
    """Return where a plan goes; a child goes where its parent is."""
    placement = dict(plan.recipe.get("placement", {}))
    above = catalog.offering(plan.parent) if plan.parent else None
    if placement.get("group") == "parent" and above is not None and above.id != offering.id:
        return _placement(catalog, above, above.plans[0])
    return placement


async def _subscription(arm: Arm, settings: Settings, subscription: str) -> list[Finding]:
    subject = f"subscription {subscription}"
    try:
        locations = await arm.locations(subscription, client_request_id=_request_id())
    except NotAuthorized:
        return [
            Finding(
                subject,
                "unsure",
                "Azure answers, but the identity may not list regions.",
                "The role Reader on the subscription would let it.",
            )
        ]
    except AzureFailure as failure:
        return [Finding(subject, "missing", failure.describe())]
    found = [Finding(subject, "ok", "Azure answers and knows the broker's identity.")]
    names = {str(location.get("name", "")).lower() for location in locations}
    region = f"region {settings.azure_location}"
    if settings.azure_location in names:
        return [*found, Finding(region, "ok", "the subscription may use it.")]
    return [
        *found,
        Finding(
            region,
            "missing",
            "the subscription has no such region.",
            "Set BROKER_AZURE_LOCATION to one of `az account list-locations --query [].name`.",
        ),
    ]


def _namespaces(scopes: Sequence[Scope], subscription: str) -> list[str]:
    types = (name for scope in scopes if scope.subscription == subscription for name in scope.rights.types)
    return list(dict.fromkeys(name.partition("/")[0] for name in types))


async def _provider(arm: Arm, subscription: str, namespace: str, scopes: Sequence[Scope]) -> list[Finding]:
    subject = f"provider {namespace}"
    try:
        provider = await arm.provider(subscription, namespace, client_request_id=_request_id())
    except NotAuthorized:
        return [
            Finding(
                subject, "unsure", "the identity may not read whether it is registered.", _register(namespace)
            )
        ]
    except AzureFailure as failure:
        return [Finding(subject, "missing", failure.describe())]
    state = str(provider.get("registrationState", "unknown"))
    if state != "Registered":
        return [Finding(subject, "missing", f"its state is '{state}'.", _register(namespace))]
    found = [Finding(subject, "ok", "it is registered.")]
    offered = {
        f"{namespace}/{each.get('resourceType', '')}".lower(): each.get("apiVersions") or ()
        for each in provider.get("resourceTypes") or ()
    }
    wanted = {name: version for scope in scopes for name, version in scope.rights.types.items()}
    for name, version in wanted.items():
        versions = offered.get(name.lower())
        if versions and version not in versions:
            found.append(
                Finding(
                    f"type {name}",
                    "missing",
                    f"this Azure has no api-version {version} of it.",
                    f"A plan with a template for one of these is needed: {', '.join(versions[:5])}.",
                )
            )
    return found


async def _scope(arm: Arm, settings: Settings, scope: Scope) -> list[Finding]:
    found = []
    if scope.group is None and not scope.own_groups:
        return [
            Finding(
                "resource group",
                "missing",
                "neither the settings nor the plans name one.",
                "Set BROKER_AZURE_RESOURCE_GROUP to a group that exists.",
            )
        ]
    subject = f"resource group {scope.group}" if scope.group else f"subscription {scope.subscription}"
    try:
        if scope.group is not None:
            group = await arm.get_group(scope.subscription, scope.group, client_request_id=_request_id())
            if group is None and not scope.makes_group:
                make = f"az group create --name {scope.group} --location {settings.azure_location}"
                return [Finding(subject, "missing", "there is none.", f"Make it: {make}")]
            found.append(Finding(subject, "ok", "it is there." if group else "a plan will make it."))
        asked_of = scope.group if found and found[0].text == "it is there." else None
        granted = await arm.permissions(scope.subscription, asked_of, client_request_id=_request_id())
    except AzureFailure as failure:
        return [*found, Finding(subject, "missing", failure.describe())]
    needed = needed_actions(
        scope.rights.types,
        parts=scope.rights.parts,
        posts=sorted(scope.rights.posts),
        group_per_instance=scope.own_groups,
        assigns_roles=bool(scope.rights.roles),
        tags=scope.rights.tags,
    )
    if scope.makes_group and _MAKE_GROUPS not in needed:
        needed = (*needed, _MAKE_GROUPS)
    missing = missing_actions(granted, needed)
    if not missing:
        found.append(Finding("permissions", "ok", f"all {len(needed)} that are needed on {subject}."))
    found += [
        Finding(
            f"permission {action}",
            "missing",
            f"not granted on {subject}.",
            "Give the identity a role with it; `osb azure role` prints one.",
        )
        for action in missing
    ]
    if scope.rights.roles and not set(ASSIGNS_ROLES) & set(missing):
        found.append(await _condition(arm, scope, asked_of, subject))
    return found


async def _condition(arm: Arm, scope: Scope, group: str | None, subject: str) -> Finding:
    """Look whether a condition stands in the way of the roles that bindings assign, which no permission tells."""
    word = f"roles on {subject}"
    advice = "`osb azure role --condition` prints one that names all of the catalog's."
    try:
        held = await arm.own_assignments(scope.subscription, group, client_request_id=_request_id())
    except AzureFailure as failure:
        return Finding(word, "unsure", f"the conditions cannot be read: {failure.describe()}", advice)
    assigning = may_assign(held) if held is not None else []
    if not assigning:
        return Finding(
            word, "unsure", "the identity may assign roles; under which condition could not be seen.", advice
        )
    left_out = not_in_conditions(assigning, scope.rights.roles)
    if left_out:
        return Finding(word, "missing", f"the condition does not let assign {', '.join(left_out)}.", advice)
    if any(not (one.get("properties") or {}).get("condition") for one in assigning):
        return Finding(
            word,
            "ok",
            "the identity may assign any role, also to itself. A condition would be safer.",
            advice,
        )
    return Finding(word, "ok", f"the condition lets assign all {len(scope.rights.roles)} of the catalog's.")


async def _purging(arm: Arm, subscription: str, scopes: Sequence[Scope]) -> list[Finding]:
    """Tell what cannot be purged: its deletion fails then, and its name stays taken."""
    collections = {
        each for scope in scopes if scope.subscription == subscription for each in scope.rights.purges
    }
    if not collections:
        return []
    needed = purging_actions(collections)
    try:
        granted = await arm.permissions(subscription, client_request_id=_request_id())
    except AzureFailure as failure:
        return [Finding("purging", "unsure", f"the permissions in the subscription: {failure.describe()}")]
    missing = missing_actions(granted, needed)
    if not missing:
        return [Finding("purging", "ok", f"all {len(needed)} permissions that it needs in the subscription.")]
    return [
        Finding(
            "purging",
            "unsure",
            f"not granted in the subscription: {', '.join(missing)}. Orders that want it cannot be deleted to the end.",
            "`osb azure role --subscription` prints a role with it.",
        )
    ]


def _egress(settings: Settings, catalog: Catalog) -> list[Finding]:
    inside = [offering.name for offering, plan in _placed(catalog) if plan.recipe.get("database")]
    if settings.egress_addresses or not inside:
        return []
    return [
        Finding(
            "firewall",
            "unsure",
            f"no server's firewall will let the broker in, which {', '.join(dict.fromkeys(inside))} needs.",
            "Set BROKER_EGRESS_ADDRESSES to the public addresses that the broker connects from.",
        )
    ]


def _register(namespace: str) -> str:
    return f"Register it: az provider register --namespace {namespace}"


def _request_id() -> str:
    return str(uuid.uuid4())
