"""What tests of the offered services order and bind: by name, over HTTP, through to the end of each operation."""

from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.end_to_end.orders import Ordered
from tests.end_to_end.world import World
from tests.osb.platform import Platform, an_id


class Failed(AssertionError):
    """An accepted operation ended `failed`; the message is its description."""


@dataclass
class Shop:
    """A running broker with its runner, and the simulated Azure where it makes things in one resource group."""

    world: World
    platform: Platform

    @property
    def azure(self) -> Any:
        return self.world.azure

    def order(self, what: str, **parameters: Any) -> "Instance":
        """Order `OFFERING/PLAN` and wait until it is there; `alias` and `parentAlias` are parameters too."""
        instance = Instance(self, what, an_id())
        answer = self.platform.provision(instance.id, instance.ordered.order(**parameters))
        assert answer.status_code in {201, 202}, answer.text
        return instance.settled()

    def refusal(self, what: str, **parameters: Any) -> tuple[int, str]:
        """Order `OFFERING/PLAN` in vain: status and description."""
        instance = Instance(self, what, an_id())
        return told(self.platform.provision(instance.id, instance.ordered.order(**parameters)))

    def living(self, kind: str = "") -> list[str]:
        """The ids, in small letters, of what lives in the broker's group, of all types or those that end so."""
        return sorted(one["id"].lower() for one in self.world.resources(kind))

    def read(self, resource_id: str, version: str) -> httpx.Response:
        """Ask the simulated Azure for a resource, past the broker."""
        return self.azure.call("GET", resource_id, version=version)

    def roles_at(self, scope: str) -> list[dict[str, Any]]:
        """The `properties` of the role assignments whose scope is exactly this."""
        assigned = (one["properties"] for one in self.azure.state()["role_assignments"])
        return [one for one in assigned if one["scope"].lower() == scope.lower()]


@dataclass
class Instance:
    """An instance that a test ordered."""

    shop: Shop
    what: str
    id: str
    bindings: list["Binding"] = field(default_factory=list)

    @property
    def ordered(self) -> Ordered:
        offering, plan = self.what.split("/")
        return Ordered.of(offering, plan)

    def settled(self) -> "Instance":
        """Wait for the operation that runs; Failed if it fails."""
        answer = self.shop.platform.settle(self.id).json()
        if answer["state"] != "succeeded":
            raise Failed(answer.get("description", answer))
        return self

    def update(self, plan: str | None = None, **parameters: Any) -> "Instance":
        """Change parameters, or the plan, and wait until it is done."""
        answer = self._ask_update(plan, parameters)
        assert answer.status_code in {200, 202}, answer.text
        if plan:
            self.what = f"{self.what.split('/')[0]}/{plan}"
        return self.settled() if answer.status_code == 202 else self

    def update_refusal(self, plan: str | None = None, **parameters: Any) -> tuple[int, str]:
        return told(self._ask_update(plan, parameters))

    def _ask_update(self, plan: str | None, parameters: dict[str, Any]) -> httpx.Response:
        body: dict[str, Any] = {"service_id": self.ordered.service_id, "parameters": parameters}
        if plan:
            body["plan_id"] = Ordered.of(self.what.split("/")[0], plan).plan_id
        return self.shop.platform.update(self.id, body)

    def bind(self, **parameters: Any) -> "Binding":
        """A new binding; the broker is asked to answer at once, as platforms of today do."""
        binding = Binding(self, an_id(), {})
        answer = self.ask_bind(binding.id, **parameters)
        assert answer.status_code == 201, answer.text
        binding.credentials = answer.json()["credentials"]
        self.bindings.append(binding)
        return binding

    def ask_bind(self, binding_id: str, **parameters: Any) -> httpx.Response:
        """Ask for a binding, whatever the answer is."""
        return self.shop.platform.bind(self.id, binding_id, self.ordered.body(parameters=parameters))

    def bind_refusal(self, **parameters: Any) -> tuple[int, str]:
        return told(self.ask_bind(an_id(), **parameters))

    def bind_refused(self, status: int, word: str, **parameters: Any) -> str:
        """Ask for a binding that cannot be made and leaves nothing; its description."""
        binding_id, ordered = an_id(), self.ordered
        answer = self.ask_bind(binding_id, **parameters)
        assert (answer.status_code, answer.json().get("error")) == (status, word), answer.text
        unbound = self.shop.platform.unbind(self.id, binding_id, ordered.plan_id, ordered.service_id)
        assert unbound.status_code == 410, unbound.text
        return str(answer.json()["description"])

    def delete(self) -> None:
        """Unbind all that this test has bound, delete, and wait until Azure has nothing of it."""
        for binding in list(self.bindings):
            binding.unbind()
        self.shop.platform.gone(self.id, self.ordered.plan_id, self.ordered.service_id)


@dataclass
class Binding:
    """A binding that a test made."""

    instance: Instance
    id: str
    credentials: dict[str, Any]

    def unbind(self) -> None:
        ordered = self.instance.ordered
        answer = self.instance.shop.platform.unbind(
            self.instance.id, self.id, ordered.plan_id, ordered.service_id
        )
        assert answer.status_code == 200, answer.text
        self.instance.bindings.remove(self)

    def fetched(self) -> dict[str, Any]:
        """The credentials as the platform can read them again."""
        answer = self.instance.shop.platform.fetch(self.instance.id, self.id)
        assert answer.status_code == 200, answer.text
        return dict(answer.json()["credentials"])


def told(answer: httpx.Response) -> tuple[int, str]:
    """A refusal's status and description."""
    assert 400 <= answer.status_code < 500, answer.text
    return answer.status_code, answer.json()["description"]
