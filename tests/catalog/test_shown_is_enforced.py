"""What platforms are shown of parameters is what the broker enforces, with every plan that is shipped."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft4Validator

from broker.api.catalog import document
from broker.catalog.reader import read_catalog
from broker.errors import InvalidParameters
from broker.shipped import shipped

CATALOG = read_catalog(shipped("catalog"))
TOLD = json.loads(json.dumps(document(CATALOG)))
PLANS = {
    f"{offering.name}/{plan.name}": (plan, told_plan)
    for offering, told in zip(CATALOG.offerings, TOLD["services"], strict=True)
    for plan, told_plan in zip(offering.plans, told["plans"], strict=True)
}
ODD = [None, True, 0, -1, 1.5, 10**9, "", "x", "A", "westeurope", [], ["x"], {}, {"a": 1}, {"a": "b"}, [{}]]


def near(said):
    """Values at the edges of what a parameter's schema allows."""
    found = [*said.get("enum", []), said.get("default")]
    for word in ("minimum", "maximum"):
        if word in said:
            found += [said[word] - 1, said[word], said[word] + 1]
    for word in ("minLength", "maxLength"):
        if word in said:
            found += ["a" * max(said[word] - 1, 0), "a" * said[word], "a" * (said[word] + 1)]
    if "maxItems" in said:
        found += [["10.0.0.1"], ["10.0.0.1", "10.0.0.1"], ["a"] * (said["maxItems"] + 1)]
    return found


def accepts(check, parameters):
    try:
        check(parameters)
    except InvalidParameters:
        return False
    return True


@pytest.mark.parametrize("name", PLANS)
@settings(max_examples=25)
@given(data=st.data())
def test_an_order_fits_the_shown_schema_exactly_if_the_broker_takes_it(name, data):
    plan, told = PLANS[name]
    asked = {
        "create": (told["schemas"]["service_instance"]["create"], plan.create_parameters.check),
        "update": (told["schemas"]["service_instance"]["update"], plan.update_parameters.check),
    }
    if "service_binding" in told["schemas"]:
        asked["bind"] = (told["schemas"]["service_binding"]["create"], plan.bind_parameters.check)
    shown, check = asked[data.draw(st.sampled_from(sorted(asked)))]
    schema = shown["parameters"]
    properties = schema["properties"]
    names = data.draw(st.sets(st.sampled_from([*sorted(properties), "unknown"]), max_size=4))
    parameters = {
        one: data.draw(st.sampled_from([*near(properties.get(one, {})), *ODD]), label=one)
        for one in sorted(names)
    }

    assert accepts(check, parameters) == Draft4Validator(schema).is_valid(parameters)
