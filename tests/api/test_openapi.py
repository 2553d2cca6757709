import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from broker.api.application import routes
from broker.api.messages import bind, provision, update
from broker.domain.requests import Caller
from broker.errors import MalformedRequest

DESCRIBED = routes().openapi()["paths"]
INSTANCE = "/v2/service_instances/{instance_id}"
BINDING = INSTANCE + "/service_bindings/{binding_id}"

GUIDS = {"organization_guid": "o", "space_guid": "s"}
IDS = {"service_id": "x", "plan_id": "y"}
VALUES = ["text", "", None, 5, True, [], {}, {"version": "1.0.0"}]


class Asked:
    """As much of a request as a message's reader looks at."""

    def __init__(self) -> None:
        self.scope = {"osb.caller": Caller("cf")}
        self.path_params = {"instance_id": "i", "binding_id": "b"}
        self.query_params = self

    def getlist(self, _name):
        return []


def schema_of(path, method):
    return DESCRIBED[path][method]["requestBody"]["content"]["application/json"]["schema"]


@pytest.mark.parametrize(
    ("path", "method", "read", "least"),
    [
        (INSTANCE, "put", provision, IDS | GUIDS),
        (INSTANCE, "patch", update, {"service_id": "x"}),
        (BINDING, "put", bind, IDS),
    ],
)
def test_what_the_description_allows_is_what_the_reader_takes(path, method, read, least):
    schema = schema_of(path, method)
    bodies = [least]
    bodies += [
        {name: value for name, value in least.items() if name != left_out} for left_out in schema["required"]
    ]
    bodies += [least | {name: value} for name in schema["properties"] for value in VALUES]

    for body in bodies:
        described = Draft202012Validator(schema).is_valid(body)
        try:
            read(body, Asked())
            taken = True
        except MalformedRequest:
            taken = False

        assert taken == described, json.dumps(body)


def test_every_route_is_described_with_its_parameters_and_refusals():
    assert set(DESCRIBED) == {INSTANCE, BINDING, INSTANCE + "/last_operation", BINDING + "/last_operation"}
    for path, methods in DESCRIBED.items():
        for described in methods.values():
            named = {parameter["name"] for parameter in described["parameters"] if parameter["in"] == "path"}
            assert named == {part[1:-1] for part in Path(path).parts if part.startswith("{")}
            assert {"400", "401", "412", "503"} <= set(described["responses"])
