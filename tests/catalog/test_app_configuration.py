"""Which of a store's four keys a binding hands out."""

import jmespath
import pytest

from broker.catalog.reader import read_catalog
from broker.shipped import shipped

KEYS = [
    {"name": name, "readOnly": name.endswith("Only"), "connectionString": f"with {name}"}
    for name in ("Primary", "Secondary", "Primary Read Only", "Secondary Read Only")
]


def picked(keys, **parameters):
    offering = next(
        o for o in read_catalog(shipped("catalog")).offerings if o.name == "azure-app-configuration"
    )
    verbs = offering.plans[0].recipe["binding_modes"]["modes"]["key"]["binding"]
    expression = next(verb["action"]["pick"]["connectionString"] for verb in verbs if "action" in verb)
    return jmespath.search(expression, {"parameters": parameters, "answer": {"value": keys}})


@pytest.mark.parametrize(
    ("access", "key_name", "wanted"),
    [
        ("read", "primary", "Primary Read Only"),
        ("read", "secondary", "Secondary Read Only"),
        ("write", "primary", "Primary"),
        ("write", "secondary", "Secondary"),
    ],
)
def test_a_binding_gets_the_key_that_it_asked_for_and_no_other(access, key_name, wanted):
    assert picked(KEYS, access=access, keyName=key_name) == f"with {wanted}"
    others = [key for key in KEYS if key["name"] != wanted]
    assert picked(others, access=access, keyName=key_name) is None
