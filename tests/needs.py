"""
Tests that need more than Python: `@pytest.mark.needs("pgbouncer")`.

Names are those of tools/programs.toml, which `make tools` fetches. A test without them is skipped with the command that
helps; under CI=true it fails, for a test that never runs holds nothing. Those that are fetched only by name are an
exception: their tests are skipped there too.
"""

import os
from functools import cache

import pytest

from tools.programs import programs


@cache
def the_program(name):
    """What to execute, as a list; None when it is not there."""
    return programs()[name].located()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    names = [name for mark in item.iter_markers("needs") for name in mark.args]
    if missing := [name for name in names if the_program(name) is None]:
        due = any(not programs()[name].only_by_name for name in missing)
        verdict = pytest.fail if due and os.environ.get("CI") == "true" else pytest.skip
        verdict(f"needs {' and '.join(missing)}: make tools TOOLS='{' '.join(missing)}' fetches it")
