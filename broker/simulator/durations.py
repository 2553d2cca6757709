"""How long Azure takes, in simulated time."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Durations:
    """Rough values of a small server on a good day; every one can be set."""

    server_create: timedelta = timedelta(seconds=300)
    server_update: timedelta = timedelta(seconds=60)
    server_delete: timedelta = timedelta(seconds=60)
    database: timedelta = timedelta(seconds=10)
    firewall_rule: timedelta = timedelta(seconds=5)
    configuration: timedelta = timedelta(seconds=5)
    storage_account: timedelta = timedelta(seconds=25)
    service_bus_namespace: timedelta = timedelta(seconds=60)
    cosmos_account: timedelta = timedelta(seconds=240)
    cosmos_key: timedelta = timedelta(seconds=60)
    redis_cluster: timedelta = timedelta(seconds=600)
    redis_database: timedelta = timedelta(seconds=60)
    sql_server: timedelta = timedelta(seconds=60)
    sql_database: timedelta = timedelta(seconds=60)
    resource_group: timedelta = timedelta(seconds=2)
    deployment: timedelta = timedelta(seconds=5)
    registration: timedelta = timedelta(seconds=60)

    def changed(self, **seconds: float) -> Durations:
        """
        The same with some durations given in seconds.

        Raises:
            ValueError: There is no such duration, or it is negative.
        """
        known = {field.name for field in fields(self)}
        unknown = sorted(seconds.keys() - known)
        if unknown:
            raise ValueError(f"unknown duration {', '.join(unknown)}; known are {', '.join(sorted(known))}")
        if any(value < 0 for value in seconds.values()):
            raise ValueError("a duration cannot be negative")
        return replace(self, **{name: timedelta(seconds=value) for name, value in seconds.items()})
