"""What of a changed schema narrows it, and in which words."""

import pytest

from broker.catalog.guard.schema_changes import NARROWING, changes


def schema(required=(), **properties):
    return {"type": "object", "properties": properties, "required": list(required)}


def text(**more):
    return {"type": "string"} | more


CASES = [
    (schema(), schema(a=text()), "added", "is new"),
    (schema(), schema(["a"], a=text()), "required", "is new, and must be given"),
    (schema(a=text()), schema(), "removed", "is not taken any more"),
    (schema(a=text()), schema(["a"], a=text()), "required", "must be given now"),
    (schema(["a"], a=text()), schema(a=text()), "widened", "may be left out now"),
    (schema(a=text()), schema(a={"type": "integer"}), "narrowed", "is of type integer now, not string"),
    (schema(a=text(enum=["x", "y"])), schema(a=text(enum=["x"])), "narrowed", "no longer takes y"),
    (schema(a=text(enum=["x"])), schema(a=text(enum=["x", "y"])), "widened", "takes y, too"),
    (schema(a=text()), schema(a=text(enum=["x"])), "narrowed", "takes only x now"),
    (schema(a=text(enum=["x"])), schema(a=text()), "widened", "takes other values, too, now"),
    (schema(a={"minimum": 1}), schema(a={"minimum": 2}), "narrowed", "must be at least 2, not 1"),
    (schema(a={"maximum": 5}), schema(a={"maximum": 4}), "narrowed", "must be at most 4, not 5"),
    (schema(a={"maximum": 5}), schema(a={"maximum": 6}), "widened", "must be at most 6, not 5"),
    (schema(a=text(maxLength=5)), schema(a=text()), "widened", "need not be at most 5 characters"),
    (schema(a=text()), schema(a=text(minLength=5)), "narrowed", "must be at least 5 characters"),
    (schema(a=text()), schema(a=text(pattern="^b")), "narrowed", "has to keep the pattern ^b now"),
    (schema(a=text(pattern="^b")), schema(a=text()), "widened", "has no pattern to keep any more"),
    (schema(a=text(default="x")), schema(a=text(default="y")), "default", "defaults to y now, not to x"),
    (
        schema(a={"type": "object"}),
        schema(a={"type": "object", "additionalProperties": False}),
        "narrowed",
        "takes less than before",
    ),
]


@pytest.mark.parametrize(("before", "after", "kind", "said"), CASES)
def test_a_change_is_told_with_its_kind(before, after, kind, said):
    (change,) = changes(before, after)

    assert (change.parameter.rstrip(".*"), change.kind, change.text) == ("a", kind, said)


def test_what_is_inside_of_lists_and_objects_is_compared_too():
    before = schema(a={"type": "array", "items": schema(b=text())})
    after = schema(a={"type": "array", "items": schema(b=text(enum=["x"]))})

    (change,) = changes(before, after)

    assert (change.parameter, change.kind) == ("a[].b", "narrowed")


def test_texts_for_people_are_no_change():
    assert changes(schema(a=text(description="x")), schema(a=text(description="y", title="z"))) == []


def test_no_schema_takes_everything():
    assert [change.kind for change in changes(None, schema(["a"], a=text()))] == ["required"]
    assert {"removed", "required", "narrowed"} == NARROWING
