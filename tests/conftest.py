import importlib.util

import pytest
from hypothesis import settings

# The PostgreSQL and the simulated Azure that tests share live in modules of their own.
pytest_plugins = [
    plugin
    for plugin in (
        "tests.installation",
        "tests.needs",
        "tests.postgresql",
        "tests.databases",
        "tests.full_disks",
        "tests.simulated",
    )
    if importlib.util.find_spec(plugin) is not None
]


# `--hypothesis-profile=long`, as `make chaos` says: tests that can go on for longer do.
settings.register_profile("long", settings.get_profile("default"))


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"
