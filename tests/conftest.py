import importlib.util

import pytest

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


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"
