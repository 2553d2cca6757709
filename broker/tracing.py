"""
Traces, from a platform's request through the operation that it orders to the calls to Azure.

Off unless asked for, and then nothing of OpenTelemetry is imported. Where to, and how much of it, is said by
OpenTelemetry's own environment (OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_TRACES_SAMPLER and the others).

A span tells ids, routes, phases and statuses: no name of a resource, no subscription, no parameter, no credential.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import TYPE_CHECKING, TypeAlias

from broker.azure.calls import CallTrace, no_trace
from broker.operations.observing import StepObserver, Unobserved

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from broker.domain.operations import Operation

Observe: TypeAlias = Callable[[str, str, int, timedelta], None]


class TracingMissing(Exception):
    """Traces are wanted, and what keeps them is not installed."""

    def __init__(self) -> None:
        super().__init__(
            "BROKER_TRACING is true, but OpenTelemetry is not installed: install azure-service-broker[tracing], "
            "or set BROKER_TRACING=false."
        )


class Untraced:
    """Keeps no trace."""

    def requests(self, app: ASGIApp) -> ASGIApp:
        """Return *app*, within a span for each request."""
        return app

    def observing(self, observe: Observe) -> Observe:
        """Return *observe*, which also hears what route a request took."""
        return observe

    def step(self, operation: Operation) -> AbstractContextManager[StepObserver]:
        """Be around one step of an operation."""
        return Unobserved().step(operation)

    def call(self, method: str, pattern: str) -> AbstractContextManager[CallTrace]:
        """Be around one call to Azure."""
        return no_trace(method, pattern)

    async def close(self) -> None:
        """Send what was not sent yet, for three seconds at most."""


def tracing(*, wanted: bool) -> Untraced:
    """
    Return what keeps traces, or what keeps none.

    Raises:
        TracingMissing: They are wanted, and OpenTelemetry is not installed.
    """
    if not wanted:
        return Untraced()
    try:
        from broker.spans import Tracing  # noqa: PLC0415 - an extra; off costs no import
    except ImportError as error:
        raise TracingMissing from error
    return Tracing.sending()
