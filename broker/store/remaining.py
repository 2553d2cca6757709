"""What a broker still answers for, asked of its database alone: no keys, no settings, nothing that runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import func, inspect, select

from broker.store.migrations import connected
from broker.store.tables import external_resources, service_instances


@dataclass(frozen=True)
class Remaining:
    """Living service instances by platform, and the resources in Azure that are on record and not seen to be gone."""

    instances: Mapping[str, int]
    resources: int


def remaining(url: str) -> Remaining:
    """
    Count. A database without tables holds nothing.

    Raises:
        UnsupportedDatabase: The URL names neither PostgreSQL nor SQLite.
        StoreUnavailable: The database does not answer.
    """
    with connected(url, alone=False) as connection:
        if not inspect(connection).has_table(service_instances.name):
            return Remaining({}, 0)
        platform = service_instances.c.platform
        instances = connection.execute(select(platform, func.count()).group_by(platform).order_by(platform))
        resources = connection.execute(
            select(func.count()).select_from(external_resources).where(external_resources.c.gone_at.is_(None))
        ).scalar_one()
        return Remaining(dict(instances.all()), resources)
