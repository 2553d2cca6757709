"""What is known of a service instance when it is accepted, before anything is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from broker.domain.catalog import ServicePlan
from broker.domain.instances import ServiceInstance


@dataclass(frozen=True)
class Foresight:
    """
    Where an instance will be.

    A dashboard that is shown at all must be in the first answer already (spec, "Provisioning / Body").
    """

    subscription: str | None = None
    region: str | None = None
    resource_group: str | None = None
    dashboard_url: str | None = None
    adopts: str | None = None
    """Id of what exists already and is taken over, in lower case; no two living instances have the same."""


Foresee: TypeAlias = Callable[[ServicePlan, ServiceInstance, ServiceInstance | None], Foresight]
"""Takes a plan, an instance that asks for it, and its parent. Pure: no call goes out, nothing is remembered."""


def foresee_nothing(
    _plan: ServicePlan, _instance: ServiceInstance, _parent: ServiceInstance | None
) -> Foresight:
    """Know nothing beforehand."""
    return Foresight()
