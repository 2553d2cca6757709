"""Traces by OpenTelemetry; imported only where they are wanted, see `broker.tracing`."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta

import structlog
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.types import ASGIApp, Receive, Scope, Send

from broker.azure.calls import CallTrace
from broker.domain.operations import Operation
from broker.operations.observing import StepObserver
from broker.tracing import Observe, Untraced

log = structlog.get_logger(__name__)

SERVICE_NAME = "azure-service-broker"
# What was not sent by then is lost: a collector that is away is no reason to stop late.
_LAST_SPANS_WITHIN = timedelta(seconds=3)
_SERVER_FAULT = 500


class Tracing(Untraced):
    """Keeps traces, and sends them in a thread of its own; what cannot be sent is dropped."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("broker")
        self._w3c = TraceContextTextMapPropagator()

    @classmethod
    def sending(cls) -> Tracing:
        """Send to where OpenTelemetry's own environment says."""
        version = importlib.metadata.version("azure-service-broker")
        # What OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say wins.
        resource = Resource({"service.name": SERVICE_NAME, "service.version": version}).merge(
            Resource.create()
        )
        if str(resource.attributes["service.name"]).startswith("unknown_service"):
            resource = resource.merge(Resource({"service.name": SERVICE_NAME}))
        provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        return cls(provider)

    def requests(self, app: ASGIApp) -> ASGIApp:
        """Return *app*, within a span for each request; a `traceparent` that was sent goes on."""

        async def traced(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            sent = {
                name.decode("latin-1"): value.decode("latin-1")
                for name, value in scope["headers"]
                if name in {b"traceparent", b"tracestate"}
            }
            with self._tracer.start_as_current_span(
                scope["method"], context=self._w3c.extract(sent), kind=SpanKind.SERVER
            ):
                scope["osb.trace"] = self._here().get("traceparent")
                await app(scope, receive, send)

        return traced

    def observing(self, observe: Observe) -> Observe:
        """Return *observe*, which also names the request's span after its route."""

        def both(route: str, method: str, status: int, took: timedelta) -> None:
            observe(route, method, status, took)
            span = get_current_span()
            span.update_name(f"{method} {route}")
            span.set_attributes(
                {"http.request.method": method, "http.route": route, "http.response.status_code": status}
            )
            if status >= _SERVER_FAULT:
                span.set_status(Status(StatusCode.ERROR))

        return both

    @contextmanager
    def step(self, operation: Operation) -> Iterator[StepObserver]:
        """Be around one step of an operation, in the trace of the request that ordered it."""
        about = {
            "osb.operation.id": str(operation.id),
            "osb.operation.kind": operation.kind.value,
            "osb.stage": operation.stage.value,
            "osb.phase": operation.phase,
            "osb.platform": operation.platform,
            "osb.instance.id": operation.instance_id,
            "osb.binding.id": operation.binding_id,
        }
        with self._tracer.start_as_current_span(
            f"{operation.kind.value} {operation.phase or operation.stage.value}",
            context=self._w3c.extract({"traceparent": operation.trace} if operation.trace else {}),
            attributes={name: value for name, value in about.items() if value is not None},
        ) as span:
            yield _Step(span)

    @contextmanager
    def call(self, method: str, pattern: str) -> Iterator[CallTrace]:
        """Be around one call to Azure; its `traceparent` goes with it."""
        with self._tracer.start_as_current_span(
            f"{method} {pattern}",
            kind=SpanKind.CLIENT,
            attributes={"http.request.method": method, "url.template": pattern},
            # Azure's words may name what no trace is to name; the log has them.
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            yield _Call(span, self._here())

    def _here(self) -> dict[str, str]:
        headers: dict[str, str] = {}
        self._w3c.inject(headers)
        return headers

    async def close(self) -> None:
        """Send what was not sent yet, for three seconds at most."""
        loop, sent = asyncio.get_running_loop(), asyncio.Event()

        def send() -> None:
            self._provider.shutdown()
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(sent.set)

        # A daemon: the end of the process waits for every other thread, and an exporter tries for long.
        threading.Thread(target=send, name="last spans", daemon=True).start()
        try:
            async with asyncio.timeout(_LAST_SPANS_WITHIN.total_seconds()):
                await sent.wait()
        except TimeoutError:
            log.warning("The last spans of the traces were not sent: the collector does not answer.")


class _Step:
    def __init__(self, span: Span) -> None:
        self._span = span

    def failed(self, reason: str) -> None:
        """Say that it failed. The words may name what no trace is to name; the operation has them."""
        del reason
        self._span.set_status(Status(StatusCode.ERROR))


class _Call:
    def __init__(self, span: Span, headers: Mapping[str, str]) -> None:
        self._span = span
        self.headers = headers

    def answered(self, status: int | None) -> None:
        """Tell the status; a call without one is a failed one."""
        if status is not None:
            self._span.set_attribute("http.response.status_code", status)
        # That something is not there, or not any more, is what reads ask for.
        if status is None or (status >= 400 and status != 404):
            self._span.set_status(Status(StatusCode.ERROR))
