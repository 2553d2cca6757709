"""One instance for many tests: what happens to its bindings and updates needs no new server."""

from dataclasses import dataclass
from typing import Any

from tests.end_to_end import logins
from tests.end_to_end.orders import ALL_IN_ONE
from tests.end_to_end.world import World
from tests.osb.platform import an_id


@dataclass
class Lasting:
    """An instance that several tests use one after another, with a binding that stays and looks on."""

    world: World
    instance: str
    credentials: dict[str, Any]
    size: int = 32

    @property
    def ca_file(self) -> str:
        return self.world.azure.access.ca_file

    def logins(self) -> set[str]:
        return logins.logins(self.credentials, self.ca_file)

    def bound(self, binding: str) -> dict[str, Any]:
        """A further binding, made by a broker that ends before the test goes on."""
        broker = self.world.start()
        answer = broker.platform.bind(self.instance, binding, ALL_IN_ONE.body())
        assert answer.status_code == 201, answer.text
        broker.kill()
        return dict(answer.json()["credentials"])

    def next_size(self) -> int:
        """A storage size that is larger than any before."""
        self.size *= 2
        return self.size


def an_instance_that_lasts(world: World) -> Lasting:
    instance = an_id()
    broker = world.start()
    assert broker.platform.provision(instance, ALL_IN_ONE.order(storageGB=32)).status_code == 202
    assert broker.platform.settle(instance).json()["state"] == "succeeded"
    answer = broker.platform.bind(instance, an_id(), ALL_IN_ONE.body())
    assert answer.status_code == 201, answer.text
    broker.kill()
    return Lasting(world, instance, answer.json()["credentials"])
