"""Names that older brokers took: written in the offering's file, kept with the plan, told on its page."""

from broker.catalog.differences import differences
from broker.catalog.pages import page_of
from broker.catalog.revisions import from_text, to_text
from tests.catalog.test_changes import PUBLISHED, proposed

REFUSED = (
    "  fixed: {zoneRedundant: false}",
    "  refused: {messaging-units: Give capacity.}\n  fixed: {zoneRedundant: false}",
)
BIND_REFUSED = ("binding:\n", "bind_refused: {right: Give rights | or none.}\nbinding:\n")


def test_a_revision_keeps_the_sentences():
    catalog = proposed(REFUSED, BIND_REFUSED)

    again = from_text(to_text(catalog), revision=1, digest="")

    (plan,) = again.offerings[0].plans
    assert plan.refused == {"messaging-units": "Give capacity."}
    assert plan.bind_refused == {"right": "Give rights | or none."}
    assert plan.create_schema == PUBLISHED.offerings[0].plans[0].create_schema


def test_a_revision_of_before_refuses_no_name():
    text = to_text(PUBLISHED).replace('"refused":{},', "").replace('"bind_refused":{},', "")

    (plan,) = from_text(text, revision=1, digest="").offerings[0].plans

    assert "refused" not in text
    assert (plan.refused, plan.bind_refused) == ({}, {})


def test_a_diff_tells_which_names_are_refused_now_and_which_no_longer():
    newer = proposed(REFUSED, BIND_REFUSED)

    there, back = differences(PUBLISHED, newer), differences(newer, PUBLISHED)

    assert [(one.field, one.change, one.text) for one in there] == [
        ("bind_parameters.right", "changed", "is refused so: Give rights | or none."),
        ("parameters.messaging-units", "changed", "is refused so: Give capacity."),
    ]
    assert {one.text for one in back} == {"is refused like any unknown name"}


def test_the_page_tells_the_sentences():
    catalog = proposed(REFUSED, BIND_REFUSED)

    page = page_of(catalog, catalog.offerings[0])

    table = (
        "of older brokers\n\nThese are refused, in these words:\n\n| parameter | what is told |\n|---|---|\n"
    )
    assert f"### Parameters {table}| `messaging-units` | Give capacity. |" in page
    assert f"### Bind parameters {table}| `right` | Give rights \\| or none. |" in page
    assert "of older brokers" not in page_of(PUBLISHED, PUBLISHED.offerings[0])
