import pytest

from broker.domain.parameters import ParameterSchema
from broker.errors import InvalidParameters
from tests.domain.orders import SCHEMA

CHECKED = ParameterSchema(SCHEMA)


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({}, "'storageGB' is missing."),
        ({"storageGB": 16}, "'storageGB' must be at least 32 and at most 1024."),
        ({"storageGB": "32"}, "'storageGB' must be of type integer."),
        ({"storageGB": True}, "'storageGB' must be of type integer."),
        ({"storageGB": 32, "tier": "Warm"}, '\'tier\' must be one of ["Hot", "Cool"].'),
        ({"storageGB": 32, "teir": "Hot"}, "'teir' is not a known parameter; did you mean 'tier'?"),
        ({"storageGB": 32, "rules": [{"from": "1.2.3"}]}, "'rules[0].from' must have the form of \"ipv4\"."),
        ({"storageGB": 10**99}, "'storageGB' must be at least 32 and at most 1024."),
    ],
)
def test_a_refusal_names_the_field_and_what_is_allowed(parameters, says):
    with pytest.raises(InvalidParameters) as refusal:
        CHECKED.check(parameters)

    assert refusal.value.description == says


def test_a_refusal_never_shows_the_value():
    with pytest.raises(InvalidParameters) as refusal:
        CHECKED.check({"storageGB": 32, "password": "Hunter2", "tier": "Hunter2", "rules": "Hunter2"})

    assert "Hunter2" not in refusal.value.description


def test_what_fits_is_let_through_and_so_is_anything_where_there_is_no_schema():
    CHECKED.check({"storageGB": 32, "tier": "Hot", "rules": [{"from": "10.0.0.1"}]})
    ParameterSchema(None).check({"anything": [None]})


@pytest.mark.parametrize(
    ("pattern", "fits", "does_not"),
    [
        ("^[a-z]+$", "abc", "abc\n"),
        ("^(a$|b)", "a", "a\n"),
        (r"^\$[$\]]+$", "$]$", "$]$\n"),
        ("^[^$]$", "a", "$"),
    ],
)
def test_a_pattern_ends_where_the_text_ends(pattern, fits, does_not):
    schema = ParameterSchema(
        {"type": "object", "properties": {"name": {"type": "string", "pattern": pattern}}}
    )

    schema.check({"name": fits})

    with pytest.raises(InvalidParameters, match="must match the pattern"):
        schema.check({"name": does_not})
