"""Requests generated from the broker's own OpenAPI description, valid and not: each gets a proper answer."""

import warnings

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode

from broker.api.application import routes
from tests.osb.platform import check_any

EXAMPLES = 25


def operations():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        schema = schemathesis.openapi.from_dict(routes().openapi())
        return [result.ok() for result in schema.get_all_operations()]


@pytest.mark.requirement("ERR-09", "ERR-12")
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("operation", operations(), ids=lambda operation: operation.label)
def test_every_generated_request_gets_a_proper_answer(platform, broker, operation, mode):
    sent = 0

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(data=st.data())
    def each(data):
        nonlocal sent
        case = data.draw(operation.as_strategy(generation_mode=mode))
        answer = platform.send_case(case)
        check_any(answer)
        assert answer.status_code < 500, answer.text
        sent += 1

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        each()
    assert sent
