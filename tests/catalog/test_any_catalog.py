"""Whatever stands in the files: a catalog is taken, and can be published and served, or it is refused with a fault."""

import copy
import json

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broker.api.catalog import CatalogPage
from broker.catalog.faults import refused
from broker.catalog.guard import refusals
from broker.catalog.reader import FOLDER, read_catalog, read_sources
from broker.catalog.revisions import digest_of, from_text, to_text
from broker.catalog.sources import Source
from broker.domain.catalog_use import UNKNOWN_USE, CatalogUse
from tests.catalog.refusing import REFUSED

BASE = REFUSED / "a-create-only-property" / "old"
PUBLISHED = read_catalog(BASE)
OFFERING = yaml.safe_load((BASE / "messaging" / "messages.yaml").read_text())
TEMPLATE = json.loads((BASE / "messaging" / "namespace.json").read_text())
WORDS = st.sampled_from(
    [
        *OFFERING,
        *TEMPLATE,
        "[parameters('capacity')]",
        "[parameters('nothing')]",
        "[concat(",
        "[reference('a').b]",
        "type",
        "apiVersion",
        "defaultValue",
        "secureString",
        "int",
        "0a4f6e1c-52d7-4b0e-9a61-3c5f0d2b7e02",
        "",
        "x" * 300,
        "Ä\u202e",
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)


def places(value, path=()):
    yield path
    if isinstance(value, dict):
        for key, item in value.items():
            yield from places(item, (*path, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from places(item, (*path, number))


@st.composite
def spoilt(draw, data):
    """A document with a few values replaced, removed or added at any place."""
    data = copy.deepcopy(data)
    for _ in range(draw(st.integers(0, 3))):
        path = draw(st.sampled_from([path for path in places(data) if path]))
        *above, last = path
        holder = data
        for name in above:
            holder = holder[name]
        kind = draw(st.sampled_from(["replace", "remove", "add"]))
        if kind == "remove":
            del holder[last]
        elif kind == "add" and isinstance(holder, dict):
            holder[draw(WORDS)] = draw(VALUES)
        else:
            holder[last] = draw(VALUES)
        if not [path for path in places(data) if path]:
            break
    return data


class Served:
    def __init__(self, catalog):
        self.catalog = catalog

    def current(self):
        return self.catalog


@settings(max_examples=250, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(spoilt(OFFERING), spoilt(TEMPLATE))
def test_any_catalog_is_refused_with_a_fault_or_can_be_published_and_served(offering, template):
    files = {
        "messaging/messages.yaml": yaml.safe_dump(offering, allow_unicode=True).encode(),
        "messaging/namespace.json": json.dumps(template).encode(),
    }

    catalog, faults = read_sources([Source(FOLDER, files)])

    if refused(faults):
        return

    text = to_text(catalog)
    again = from_text(text, revision=1, digest=digest_of(text))
    status, _, body = CatalogPage(Served(again)).answer("a platform", "", None, None)
    assert again.offerings == catalog.offerings
    assert (status, len(json.loads(body)["services"])) == (200, len(catalog.offerings))
    for use in (UNKNOWN_USE, CatalogUse()):
        assert refusals(catalog, again, use) == []
    assert all(fault.message for fault in refusals(PUBLISHED, catalog, UNKNOWN_USE))
