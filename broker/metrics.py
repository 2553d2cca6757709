"""
What is measured, in one object that the broker's parts are handed.

No label holds what a caller can choose freely, so the number of series is bounded by routes, plans and states.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

CONTENT_TYPE = CONTENT_TYPE_LATEST

_REQUEST_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_LAG_BUCKETS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60, 300)


class Metrics:
    """Counters, gauges and histograms of one process, on a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "broker_requests",
            "Requests answered, by route, method and HTTP status.",
            ["route", "method", "status"],
            registry=self.registry,
        )
        self._request_seconds = Histogram(
            "broker_request_seconds",
            "Time from a request's head to the end of its answer.",
            ["route", "method"],
            buckets=_REQUEST_BUCKETS,
            registry=self.registry,
        )
        self._answered: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self._operations_finished = Counter(
            "broker_operations_finished",
            "Operations that ended, by kind, state and service plan.",
            ["kind", "state", "plan"],
            registry=self.registry,
        )
        self._operations_in_progress = Gauge(
            "broker_operations_in_progress",
            "Operations in progress, by kind and service plan.",
            ["kind", "plan"],
            registry=self.registry,
        )
        self._oldest = Gauge(
            "broker_oldest_operation_age_seconds",
            "Age of the operation that has been in progress longest; 0 if there is none.",
            registry=self.registry,
        )
        self._overdue = Gauge(
            "broker_overdue_seconds",
            "How long the most overdue operation has been due, in the database's eyes; 0 if none is.",
            registry=self.registry,
        )
        self._database_answers = Gauge(
            "broker_database_answers",
            "1 if the database answered this process when it counted last, every half minute, else 0.",
            registry=self.registry,
        )
        self._missing = Gauge(
            "broker_missing_instances",
            "Service instances that the last look at Azure did not find there.",
            registry=self.registry,
        )
        self._stale = Gauge(
            "broker_stale_bindings",
            "Service bindings whose keys were changed in Azure since they were handed out.",
            registry=self.registry,
        )
        self._strays = Gauge(
            "broker_stray_resources",
            "Resources with the broker's tags that belong to no living service instance, by kind (orphan, abandoned).",
            ["kind"],
            registry=self.registry,
        )
        self._tenant_rules_refused = Gauge(
            "broker_tenant_rules_refused",
            "1 while the file of tenant rules is refused, and the last good rules stay in force.",
            registry=self.registry,
        )
        self._due_lag = Histogram(
            "broker_due_lag_seconds",
            "How much later than due an operation was claimed.",
            buckets=_LAG_BUCKETS,
            registry=self.registry,
        )
        self._lost_leases = Counter(
            "broker_lost_leases",
            "Steps whose result was dropped since another runner had taken over.",
            registry=self.registry,
        )
        self._unhandled = Gauge(
            "broker_unhandled_operations",
            "Overdue operations whose handler version this build does not know.",
            registry=self.registry,
        )
        self._catalog_revision = Gauge(
            "broker_catalog_revision",
            "The published revision of the catalog that this process serves; 0 if there is none.",
            registry=self.registry,
        )
        self._catalog_published = Gauge(
            "broker_catalog_published_timestamp_seconds",
            "When that revision was published, in seconds since 1970; 0 if there is none.",
            registry=self.registry,
        )
        self._catalog_refused = Gauge(
            "broker_catalog_proposal_refused",
            "Faults for which the catalog files of this process are refused; 0 if they are not.",
            registry=self.registry,
        )
        self._arm_calls = Counter(
            "broker_arm_calls",
            "Calls to Azure Resource Manager, by kind (read, write, delete) and HTTP status (none: no answer).",
            ["kind", "status"],
            registry=self.registry,
        )
        self._arm_seconds = Histogram(
            "broker_arm_call_seconds",
            "Time that calls to Azure Resource Manager took.",
            ["kind"],
            buckets=_REQUEST_BUCKETS,
            registry=self.registry,
        )
        self._arm_remaining = Gauge(
            "broker_arm_remaining_calls",
            "Calls that Azure said are left, as of the last answer.",
            ["subscription", "kind"],
            registry=self.registry,
        )

    def request_answered(self, route: str, method: str, status: int, took: timedelta) -> None:
        """Count a request; *route* is the route's pattern, never the path that was asked."""
        # Kept, since looking a series up by its labels costs more than counting in it; there are few of them.
        series = self._answered.get((route, method, status))
        if series is None:
            series = self._answered[route, method, status] = (
                self._requests.labels(route, method, str(status)),
                self._request_seconds.labels(route, method),
            )
        series[0].inc()
        series[1].observe(took.total_seconds())

    def operation_finished(self, kind: str, state: str, plan: str) -> None:
        """Count an operation's end; *plan* is the plan's name."""
        self._operations_finished.labels(kind, state, plan).inc()

    def operations_counted(
        self, in_progress: dict[tuple[str, str], int], *, oldest: timedelta, overdue: timedelta
    ) -> None:
        """
        Replace what is known of the work in progress.

        That is a count for each (kind, plan), the oldest one's age, and how long the most overdue one has been due.
        """
        self._operations_in_progress.clear()
        for (kind, plan), count in in_progress.items():
            self._operations_in_progress.labels(kind, plan).set(count)
        self._oldest.set(oldest.total_seconds())
        self._overdue.set(overdue.total_seconds())

    def database_asked(self, *, answers: bool) -> None:
        """Replace whether the database answers."""
        self._database_answers.set(int(answers))

    def stock_taken(self, *, missing: int, strays: dict[str, int]) -> None:
        """Replace what the last look at Azure has found: missing instances, and strays by kind."""
        self._missing.set(missing)
        for kind, count in strays.items():
            self._strays.labels(kind).set(count)

    def keys_compared(self, *, stale: int) -> None:
        """Replace of how many bindings the keys were changed in Azure."""
        self._stale.set(stale)

    def tenant_rules_looked_at(self, refused: bool) -> None:  # noqa: FBT001 - a callback
        """Replace whether the file of tenant rules is refused."""
        self._tenant_rules_refused.set(int(refused))

    def claimed_late(self, by: timedelta) -> None:
        """Record how much later than due an operation was claimed."""
        self._due_lag.observe(max(0.0, by.total_seconds()))

    def lease_lost(self) -> None:
        """Count a step whose result could not be written."""
        self._lost_leases.inc()

    def unhandled_counted(self, number: int) -> None:
        """Replace how many overdue operations this build cannot carry on."""
        self._unhandled.set(number)

    def catalog_served(self, revision: int, published_at: datetime | None) -> None:
        """Replace which revision of the catalog is served."""
        self._catalog_revision.set(revision)
        self._catalog_published.set(published_at.timestamp() if published_at else 0)

    def catalog_refused(self, faults: int) -> None:
        """Replace how many faults the catalog files of this process have."""
        self._catalog_refused.set(faults)

    def arm_called(
        self,
        kind: str,
        status: int | None,
        took: timedelta,
        *,
        subscription: str = "",
        remaining: int | None = None,
    ) -> None:
        """Count a call to Azure Resource Manager; *status* is None when no answer came."""
        self._arm_calls.labels(kind, "none" if status is None else str(status)).inc()
        self._arm_seconds.labels(kind).observe(took.total_seconds())
        if remaining is not None:
            self._arm_remaining.labels(subscription, kind).set(remaining)

    def exposed(self) -> bytes:
        """Return all values in Prometheus' text format; its type is `CONTENT_TYPE`."""
        return generate_latest(self.registry)
