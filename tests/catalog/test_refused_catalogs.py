"""Each bad catalog below `refused/` is refused for its one cause, in one sentence, with its place."""

import re

import pytest

from tests.catalog.refusing import CASES, REFUSED, faults_of

_SAID = re.compile(r"'[^']*'|\d+|\b(Microsoft\.\S+|[\w-]+/[\w.-]+)")


def test_there_are_many_of_them():
    assert len(CASES) >= 25


@pytest.mark.parametrize("case", CASES)
def test_a_bad_catalog_is_refused_for_its_one_cause(case):
    faults = faults_of(REFUSED / case)

    assert [str(fault) for fault in faults] == [(REFUSED / case / "expected.txt").read_text().rstrip("\n")]
    assert faults[0].severity == "refused"
    assert faults[0].file
    assert (
        faults[0].line
        or faults[0].file.endswith(".json")
        or faults[0].file == "catalog"
        or not faults[0].path
    )


def test_no_two_of_them_have_the_same_cause():
    causes: dict[str, list[str]] = {}
    for case in CASES:
        for fault in faults_of(REFUSED / case):
            causes.setdefault(_SAID.sub("", fault.message), []).append(case)

    assert [cases for cases in causes.values() if len(cases) > 1] == []
