"""Each revision only adds: the release before it goes on reading and writing while and after it is made."""

import importlib.util
import re
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import NullPool, create_engine, insert, make_url, text

from broker.store import migrations
from broker.store.tables import REVISIONS
from tests.migrations.expanding import Allowed, reflected, refusals

TOP = Path(__file__).parents[2]
RELEASED = tuple(re.findall(r"^## \[?(\d+\.\d+\.\d+)", (TOP / "CHANGELOG.md").read_text(), re.MULTILINE))


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/empty.db"
    return request.getfixturevalue("fresh_database")()


def engine_of(url):
    driver = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg"}[make_url(url).drivername]
    return create_engine(make_url(url).set(drivername=driver), poolclass=NullPool)


def tables_at(url, revision):
    migrations.upgrade(url, revision)
    with engine_of(url).connect() as connection:
        return reflected(connection)


def module_of(revision):
    (path,) = (TOP / "migrations" / "versions").glob(f"{revision}_*.py")
    spec = importlib.util.spec_from_file_location(f"revision_{revision}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def insert_a_row_each(connection, tables):
    """Write into each table what a release that knows these columns must: all that has no default."""
    written = {}
    for table in tables.sorted_tables:
        row = {}
        for column in table.columns:
            if column.nullable or column.server_default is not None:
                continue
            keys = list(column.foreign_keys)
            row[column.name] = written[keys[0].target_fullname] if keys else a_value(column)
            written[f"{table.name}.{column.name}"] = row[column.name]
        connection.execute(insert(table).values(row))


def a_value(column):
    kind = column.type.python_type
    if kind is str and column.type.length == 32:
        return uuid4().hex
    values = {
        "UUID": uuid4, "str": lambda: "written", "int": lambda: 1, "bool": lambda: True, "float": lambda: 1.5,
        "bytes": lambda: b"sealed", "dict": dict, "object": dict, "datetime": lambda: datetime.now(UTC),
    }  # fmt: skip
    return values[kind.__name__]()


def test_no_revision_takes_anything_from_the_release_before_it(empty_url):
    found, before = {}, tables_at(empty_url, REVISIONS[0])
    for revision in REVISIONS[1:]:
        after = tables_at(empty_url, revision)
        found[revision] = refusals(before, after, Allowed.by(module_of(revision)), RELEASED)
        before = after

    assert not {revision: said for revision, said in found.items() if said}


def test_what_the_release_before_inserts_is_taken_by_the_tables_of_the_next(empty_url):
    before = tables_at(empty_url, REVISIONS[0])
    for revision in REVISIONS[1:]:
        after = tables_at(empty_url, revision)
        with engine_of(empty_url).begin() as connection:
            insert_a_row_each(connection, before)
            for table in reversed(before.sorted_tables):
                connection.execute(table.update().values({column: column for column in table.columns}))
                assert connection.execute(table.delete()).rowcount == 1
        before = after


FORMER = (
    "CREATE TABLE parents (key INTEGER PRIMARY KEY)",
    "CREATE TABLE things (name TEXT NOT NULL, size INTEGER, kind TEXT DEFAULT 'plain' NOT NULL, parent INTEGER)",
    "CREATE TABLE others (name TEXT)",
)


def schema(*statements):
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
        return reflected(connection)


def changed(old, new):
    return schema(*(statement.replace(old, new) for statement in FORMER))


REFUSED = {
    "table others is dropped or renamed": ("TABLE others", "TABLE matters", "others"),
    "column things.name is dropped or renamed": ("name TEXT NOT NULL, ", "", "things.name"),
    "column things.size is dropped or renamed": ("size INTEGER", "extent INTEGER", "things.size"),
    "column things.size changes its type from INTEGER to TEXT": ("size INTEGER", "size TEXT", "things.size"),
    "column things.size takes no NULL any more": ("size INTEGER", "size INTEGER NOT NULL", "things.size"),
    "column things.kind loses its default": ("DEFAULT 'plain' NOT", "NOT", "things.kind"),
    "column things.age is new, takes no NULL and has no default": (
        "parent INTEGER", "parent INTEGER, age INTEGER NOT NULL", "things.age",
    ),
    "table things has a new duty: unique ['name']": ("parent INTEGER", "parent INTEGER, UNIQUE (name)", "things"),
    "table things has a new duty: parent references parents.key": (
        "parent INTEGER", "parent INTEGER REFERENCES parents (key)", "things",
    ),
    "table things has a new duty: check size > 0": ("parent INTEGER", "parent INTEGER, CHECK (size > 0)", "things"),
}  # fmt: skip


@pytest.mark.parametrize("refusal", REFUSED)
def test_a_revision_that_takes_something_away_is_refused_until_a_release_did_without_it(refusal):
    old, new, what = REFUSED[refusal]
    before, after = schema(*FORMER), changed(old, new)

    assert refusal in refusals(before, after)
    assert refusal in refusals(before, after, Allowed(contract={what: "1.4.0"}), released=("1.3.0",))
    assert refusal not in refusals(
        before, after, Allowed(contract={what: "1.4.0"}), released=("1.4.0", "1.3.0")
    )


def test_an_index_on_a_table_in_use_needs_a_reason():
    before, after = schema(*FORMER), schema(*FORMER, "CREATE INDEX ix_things_kind ON things (kind)")

    assert refusals(before, after) == ["index ix_things_kind is made on things, whose writers wait meanwhile"]
    assert (
        refusals(before, after, Allowed(locks={"ix_things_kind": "It never has more than ten rows."})) == []
    )


def test_what_only_adds_is_let_pass():
    after = schema(
        *(
            each.replace("parent INTEGER", "parent INTEGER, age INTEGER, state TEXT DEFAULT 'new' NOT NULL")
            for each in FORMER
        ),
        "CREATE TABLE more (name TEXT NOT NULL UNIQUE)",
        "CREATE INDEX ix_more_name ON more (name)",
    )

    assert refusals(schema(*FORMER), after) == []
