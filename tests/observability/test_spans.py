"""What spans tell, and what they do not."""

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from broker.spans import Tracing
from tests.store.nouns import an_instance, an_operation


def test_the_span_of_a_step_that_failed_names_no_resource():
    kept, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))

    with Tracing(provider).step(an_operation(an_instance())) as told:
        told.failed("The storage account 'st4711' does not carry this service instance's tags.")
    provider.shutdown()

    (span,) = kept.get_finished_spans()
    assert not span.status.is_ok
    assert "st4711" not in span.to_json()
