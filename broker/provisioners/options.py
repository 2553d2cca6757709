"""What an operator's settings say to provisioners."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path


@dataclass(frozen=True)
class OwnPrincipal:
    """The broker's own service principal: its ids, and the name under which database servers know it."""

    object_id: str
    name: str
    client_id: str | None = None


@dataclass(frozen=True)
class ProvisionerOptions:
    """
    The broker's own identity and defaults for plans that name none.

    `poll_interval` is the shortest time between two looks at Azure's long work. `egress_addresses` are the IPv4
    addresses from which the broker connects to database servers. `data_plane_ca_file` holds the certificates trusted
    for these; None: those of the system. `principal` is the broker's own in Entra; without one it administers no
    database server by token, and makes no logins for Entra principals.
    """

    broker_id: str
    subscription: str
    location: str
    resource_group: str | None = None
    tenant_id: str | None = None
    poll_interval: timedelta = timedelta(seconds=5)
    egress_addresses: Sequence[str] = ()
    data_plane_ca_file: Path | None = None
    principal: OwnPrincipal | None = None
    adoption_scopes: Sequence[str] = ()
    """Ids of subscriptions and resource groups from which something may be adopted; none: the own subscription."""
