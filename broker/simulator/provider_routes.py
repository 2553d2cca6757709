"""The routes of resource providers: what they offer, whether they are registered, which names are free."""

from __future__ import annotations

from typing import Any

from broker.simulator.arm_errors import ArmError
from broker.simulator.clock import Clock
from broker.simulator.durations import Durations
from broker.simulator.lists import page
from broker.simulator.routes import Asked, Reply, Routes
from broker.simulator.state import State

SUBSCRIPTION = "/subscriptions/{subscription}"
RESOURCES_VERSIONS = (
    "2026-06-01",
    "2025-04-01",
    "2025-03-01",
    "2024-11-01",
    "2024-07-01",
    "2024-03-01",
    "2023-07-01",
    "2022-12-01",
    "2022-09-01",
    "2022-04-01",
    "2021-04-01",
    "2020-06-01",
)


class ProviderRoutes:
    """Resource providers as a subscription sees them."""

    def __init__(self, state: State, clock: Clock, durations: Durations) -> None:
        self._state = state
        self._clock = clock
        self._durations = durations

    def add_to(self, routes: Routes) -> None:
        add = routes.add
        add("GET", SUBSCRIPTION + "/providers", self.list_all)
        add("GET", SUBSCRIPTION + "/providers/{namespace}", self.get)
        add("POST", SUBSCRIPTION + "/providers/{namespace}/register", self.register)
        add("POST", SUBSCRIPTION + "/providers/{namespace}/unregister", self.unregister)
        check = "/checkNameAvailability"
        add("POST", SUBSCRIPTION + "/providers/{namespace}" + check, self.check_name)
        add("POST", SUBSCRIPTION + "/providers/{namespace}/locations/{location}" + check, self.check_name)

    async def list_all(self, asked: Asked) -> Reply:
        namespaces = sorted(
            {name.partition("/")[0] for name in self._state.types.known} | {"Microsoft.Resources"}
        )
        return page(asked, [self._shown(namespace) for namespace in namespaces])

    async def get(self, asked: Asked) -> Reply:
        return Reply(200, self._shown(asked.names["namespace"]))

    async def register(self, asked: Asked) -> Reply:
        namespace = self._shown(asked.names["namespace"])["namespace"]
        self._state.providers.register(namespace, self._clock.elapsed, self._durations.registration)
        return Reply(200, self._shown(namespace))

    async def unregister(self, asked: Asked) -> Reply:
        namespace = self._shown(asked.names["namespace"])["namespace"]
        self._state.providers.unregister(namespace)
        return Reply(200, self._shown(namespace))

    def _shown(self, asked: str) -> dict[str, Any]:
        types: dict[str, tuple[str, ...]] = {
            name: versions
            for name, versions in self._state.types.known.items()
            if name.lower().startswith(asked.lower() + "/")
        }
        if asked.lower() == "microsoft.resources":
            types = {
                f"Microsoft.Resources/{t}": RESOURCES_VERSIONS for t in ("resourceGroups", "deployments")
            }
        if not types:
            raise ArmError(404, "InvalidResourceNamespace", f"The resource namespace '{asked}' is invalid.")
        namespace = next(iter(types)).partition("/")[0]
        return {
            "id": f"/subscriptions/{self._state.subscription}/providers/{namespace}",
            "namespace": namespace,
            "registrationPolicy": "RegistrationRequired",
            "registrationState": self._state.providers.state(namespace, self._clock.elapsed),
            "resourceTypes": [
                {
                    "resourceType": name.partition("/")[2],
                    "locations": list(self._state.cloud.locations.values()),
                    "apiVersions": list(versions),
                }
                for name, versions in types.items()
            ],
        }

    async def check_name(self, asked: Asked) -> Reply:
        body = asked.body if isinstance(asked.body, dict) else {}
        # The messaging products have one type whose names are unique, and take no word for it.
        kind = str(body.get("type") or f"{asked.names['namespace']}/namespaces")
        name = str(body.get("name", ""))
        self._state.types.model(kind, asked.api_version)
        taken = self._state.is_taken(kind, name)
        # One provider has a word of its own.
        word = "available" if kind.lower().startswith("microsoft.sql/") else "nameAvailable"
        reply: dict[str, Any] = {"name": name, "type": kind, word: not taken}
        if taken:
            reply |= {
                "reason": "AlreadyExists",
                "message": f"Specified server name '{name}' is already used.",
            }
        return Reply(200, reply)
