"""
What can be known of an order before anything is made: provider, region, group, permissions, names, Azure's own check.

Reads, but for the question whether a name is free and Azure's own check, which are charged as writes. What is the
same for every order is remembered for a few minutes when it was found right, never when it was found wrong.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Hashable
from datetime import timedelta
from typing import Any, TypeVar

from broker.azure import naming
from broker.azure.arm import Arm
from broker.azure.distilling import short_resource
from broker.azure.failures import (
    AzureFailure,
    Invalid,
    NameTaken,
    NotAuthorized,
    NotFound,
    NotRegistered,
    PolicyDenied,
    QuotaExceeded,
    SoftDeleted,
    TokenRefused,
    UnknownFailure,
)
from broker.azure.permissions import missing_actions, needed_actions
from broker.azure.resource_ids import portal_url
from broker.domain.json_values import JsonObject
from broker.domain.operations import Refusal
from broker.provisioners import records
from broker.provisioners.base import Cost, Next, Outcome, Work
from broker.provisioners.options import ProvisionerOptions
from broker.provisioners.recipe import PlannedResource, Recipe
from broker.provisioners.settling import Plan, asked_of, settled
from broker.provisioners.verdicts import NOT_POSSIBLE, Impossible, of_azure, request_id

T = TypeVar("T")

MOST_GENERATIONS = 3
"""How many names are tried before an order is refused since its name is taken."""

NAME_CHECKS = {
    "microsoft.dbformysql/flexibleservers": "Microsoft.DBforMySQL/locations/{location}",
    "microsoft.keyvault/vaults": "Microsoft.KeyVault",
    "microsoft.dbforpostgresql/flexibleservers": "Microsoft.DBforPostgreSQL/locations/{location}",
    "microsoft.eventhub/namespaces": "Microsoft.EventHub",
    "microsoft.servicebus/namespaces": "Microsoft.ServiceBus",
    "microsoft.sql/servers": "Microsoft.Sql",
    "microsoft.storage/storageaccounts": "Microsoft.Storage",
}
"""Where each type whose names are unique in the world can be asked `checkNameAvailability`; others are only read."""
NAMES_OF_ONE_TYPE = frozenset({"microsoft.eventhub/namespaces", "microsoft.servicebus/namespaces"})
"""Types whose providers take the name alone (azure-mgmt-servicebus 10.0.0, azure-mgmt-eventhub 12.0.0)."""

_WORDS: dict[type[AzureFailure], tuple[str, bool]] = {
    Invalid: ("NotOffered", True),
    NameTaken: ("NameTaken", True),
    SoftDeleted: ("NameSoftDeleted", False),
    QuotaExceeded: ("QuotaExceeded", False),
    PolicyDenied: ("PolicyDenied", False),
    NotAuthorized: ("PermissionMissing", False),
    TokenRefused: ("SignInRefused", False),
    NotRegistered: ("ProviderNotRegistered", False),
    NotFound: ("PlaceMissing", False),
    UnknownFailure: ("AzureRefuses", False),
}
"""The error word for what Azure refuses, and whether the same order can never work."""


class Refused(Exception):
    """The order cannot be made; the sentence is for the person who asked."""

    def __init__(self, code: str, description: str, *, never: bool = False) -> None:
        super().__init__(description)
        self.refusal = Refusal(code, never=never)
        self.description = description


async def asked(work: Work, call: Awaitable[T]) -> T:
    """
    Await a call to Azure.

    Raises:
        Refused: Azure says why the order cannot be made.
        StepFailed: It says nothing about that: too busy, not in reach, a fault of its own.
    """
    work.guard()
    try:
        return await call
    except AzureFailure as failure:
        word = next((said for kind, said in _WORDS.items() if isinstance(failure, kind)), None)
        if word is None:
            raise of_azure(failure) from failure
        code, never = word
        raise Refused(code, failure.describe(), never=never and failure.job != "operator") from failure


class Preflight:
    """Checks orders, one step each; remembers for *remembered* what holds for all of them."""

    def __init__(
        self, arm: Arm, options: ProvisionerOptions, *, remembered: timedelta = timedelta(minutes=5)
    ) -> None:
        self._arm = arm
        self._options = options
        self._remembered = remembered.total_seconds()
        self._known: dict[Hashable, tuple[float, Any]] = {}

    async def check(self, work: Work) -> Next:
        """
        Refuse what Azure would refuse, and leave nothing; or go on to the creation, under names that are free.

        Raises:
            StepFailed: Azure could not be asked.
        """
        try:
            recipe = Recipe.of(work.operation)
            plan = self._plan(work, recipe, work.instance.generation)
            await self._provider(work, plan)
            group_there = await self._group(work, plan)
            await self._permissions(work, recipe, plan, group_there=group_there)
            plan = await self._free(work, recipe, plan)
            if recipe.preflight == "validate" and group_there:
                await self._validated(work, recipe, plan)
        except Refused as refused:
            return Next(Outcome.FAILED, description=refused.description, unmade=True, refusal=refused.refusal)
        except Impossible as impossible:
            return Next(Outcome.FAILED, description=impossible.description, unmade=True, refusal=NOT_POSSIBLE)
        main = f"{records.shown(plan.main.id)} in {plan.place.location}"
        if work.operation.dry_run:
            return Next(Outcome.DONE, description=f"{main} can be made now. Nothing was made.", unmade=True)
        return Next(
            phase="",
            description=f"Azure can make {main}.",
            generation=plan.generation,
            resource_group=plan.place.group,
            dashboard_url=portal_url(self._arm.cloud, plan.main.id, self._options.tenant_id),
            cost=Cost(reads=2 + len(plan.resources)),
        )

    def _plan(self, work: Work, recipe: Recipe, generation: int) -> Plan:
        return settled(
            recipe, asked_of(work), work.instance, self._options, generation=generation, parent=None
        )

    async def _provider(self, work: Work, plan: Plan) -> None:
        """Refuse what the subscription has not registered, and a region that does not have one of the types."""
        subscription, location = plan.place.subscription, plan.place.location
        for namespace in dict.fromkeys(resource.type.partition("/")[0] for resource in plan.resources):
            try:
                provider = await self._provider_of(work, subscription, namespace)
            except Refused as refused:
                if refused.refusal.code == _WORDS[NotAuthorized][0]:
                    continue  # Whoever may not read it may be allowed to use it all the same.
                raise
            state = str(provider.get("registrationState", "unknown"))
            if state != "Registered":
                raise Refused(
                    "ProviderNotRegistered",
                    f"The subscription has not registered the provider '{namespace}': its state is '{state}'. An "
                    f"operator has to register it: az provider register --namespace {namespace}",
                )
            for resource in plan.resources:
                offered = _locations(provider, resource)
                if offered and _plain(location) not in map(_plain, offered):
                    raise Refused(
                        "RegionNotOffered",
                        f"'{resource.type}' is not offered in the location '{location}'. Choose one of: "
                        f"{', '.join(sorted(map(_plain, offered))[:20])}.",
                        never=True,
                    )

    async def _provider_of(self, work: Work, subscription: str, namespace: str) -> JsonObject:
        return await self._remembering(
            ("provider", subscription, namespace),
            lambda: self._asked(
                work, self._arm.provider(subscription, namespace, client_request_id=request_id(work))
            ),
            good=lambda found: found.get("registrationState") == "Registered",
        )

    async def _group(self, work: Work, plan: Plan) -> bool:
        """Refuse a shared group that is not there and not to be made; tell whether it is there."""
        place = plan.place
        group = await self._remembering(
            ("group", place.subscription, place.group),
            lambda: self._asked(
                work,
                self._arm.get_group(place.subscription, place.group, client_request_id=request_id(work)),
            ),
            good=lambda found: found is not None and not place.own_group,
        )
        if group is None and not place.create_group:
            raise Refused(
                "ResourceGroupMissing",
                f"There is no resource group '{place.group}', where this plan makes its resources. An operator has to "
                "make it.",
            )
        return group is not None

    async def _permissions(self, work: Work, recipe: Recipe, plan: Plan, *, group_there: bool) -> None:
        place = plan.place
        scope = place.group if group_there else None
        types = [str(said["type"]) for said in recipe.resources]
        needed = needed_actions(
            types,
            parts=[made["type"] for made in recipe.template["resources"] if made["type"] not in types],
            group_per_instance=place.create_group and not group_there,
        )
        try:
            granted = await self._remembering(
                ("permissions", place.subscription, scope, needed),
                lambda: self._asked(
                    work,
                    self._arm.permissions(place.subscription, scope, client_request_id=request_id(work)),
                ),
                good=lambda found: not missing_actions(found, needed),
            )
        except Refused:
            return  # What cannot be read is found out by trying.
        if missing := missing_actions(granted, needed):
            where = f"the resource group '{place.group}'" if scope else "the subscription"
            more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
            raise Refused(
                "PermissionMissing",
                f"The broker's identity may not do on {where}: {', '.join(missing[:5])}{more}. An operator has to "
                "grant it these permissions.",
            )

    async def _free(self, work: Work, recipe: Recipe, first: Plan) -> Plan:
        """Return the plan under the first generation whose names are free, or ours from a store that was restored."""
        plan = first
        for generation in range(first.generation, first.generation + MOST_GENERATIONS):
            plan = first if generation == first.generation else self._plan(work, recipe, generation)
            if not await self._taken(work, plan):
                return plan
        raise Refused(
            "NameTaken",
            f"The names that {records.shown(plan.main.id)} could have are taken in Azure by something that this broker "
            "did not make, which was left as it is. Order again under another id.",
            never=True,
        )

    async def _taken(self, work: Work, plan: Plan) -> bool:
        if plan.place.own_group:
            there = await self._asked(
                work,
                self._arm.get_group(
                    plan.place.subscription, plan.place.group, client_request_id=request_id(work)
                ),
            )
            if there is not None:
                return not naming.is_ours(there.get("tags"), plan.known.tags)
        main = plan.main
        found = await self._asked(
            work, self._arm.get_resource(main.id, main.api_version, client_request_id=request_id(work))
        )
        if found is not None:
            return main.tagged and not naming.is_ours(found.get("tags"), plan.known.tags)
        where = NAME_CHECKS.get(main.type.lower())
        if where is None:
            return False
        path = (
            f"/subscriptions/{plan.place.subscription}/providers/{where.format(location=plan.place.location)}"
        )
        question = {"name": main.id.rpartition("/")[2]}
        if main.type.lower() not in NAMES_OF_ONE_TYPE:
            question["type"] = main.type
        try:
            answer = await self._asked(
                work,
                self._arm.action(
                    path,
                    "checkNameAvailability",
                    main.api_version,
                    question,
                    client_request_id=request_id(work),
                ),
            )
        except Refused as refused:
            if refused.refusal.code == _WORDS[NotAuthorized][0]:
                return False  # Who works in one group alone may not ask this: it is a question to the subscription.
            raise
        return answer.get("nameAvailable", answer.get("available")) is False

    async def _validated(self, work: Work, recipe: Recipe, plan: Plan) -> None:
        await self._asked(work, self._validation(work, recipe, plan))

    async def _validation(self, work: Work, recipe: Recipe, plan: Plan) -> None:
        name = naming.deployment_name(work.instance.key, work.operation.id)
        try:
            await self._arm.validate_deployment(
                plan.place.subscription,
                plan.place.group,
                name,
                recipe.template,
                plan.parameters,
                client_request_id=request_id(work),
            )
        except AzureFailure as failure:
            if name in failure.resource:
                failure.resource = short_resource(plan.main.id)  # What was asked for, not how.
            raise

    async def _asked(self, work: Work, call: Awaitable[T]) -> T:
        return await asked(work, call)

    async def _remembering(
        self, key: Hashable, ask: Callable[[], Awaitable[T]], *, good: Callable[[T], bool]
    ) -> T:
        known = self._known.get(key)
        if known is not None and time.monotonic() < known[0]:
            value: T = known[1]
            return value
        value = await ask()
        if good(value):
            self._known[key] = (time.monotonic() + self._remembered, value)
        else:
            self._known.pop(key, None)
        return value


def _locations(provider: JsonObject, resource: PlannedResource) -> list[str]:
    """Return where a type is offered; empty when the provider does not say, as for what is below another resource."""
    namespace = resource.type.partition("/")[0]
    for said in provider.get("resourceTypes") or ():
        if f"{namespace}/{said.get('resourceType', '')}".lower() == resource.type.lower():
            return [str(location) for location in said.get("locations") or ()]
    return []


def _plain(location: str) -> str:
    """Azure gives "West Europe" here and "westeurope" there."""
    return location.replace(" ", "").lower()
