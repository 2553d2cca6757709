"""The pages that `osb catalog docs` makes: current, safe whatever the catalog says, and their examples work."""

import json
import re
import shlex
import shutil
import subprocess
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from broker.catalog.credential_keys import handed_out
from broker.catalog.examples import RUN, Chosen, examples
from broker.catalog.pages import NOTES, notes_of, offered, page_of
from broker.catalog.reader import read_catalog
from broker.cli.catalog import app
from broker.shipped import shipped
from tests.end_to_end.world import PLATFORM, World
from tests.service_catalog.controller import Controller

TOP = Path(__file__).parent.parent.parent
PAGES = TOP / "docs" / "services"
CATALOG = read_catalog(shipped("catalog"))
NOTHING_BEHIND = dict.fromkeys(
    ("azure-sql", "azure-sql-database"),
    "no SQL Server can be had here to make a login in, so that a bind fails: tests/services/test_sql.py",
)
"""Offerings whose examples are applied but for the binding, and why."""
NOTHING_THERE = dict.fromkeys(
    ("azure-sql-server-registered", "azure-sql-database-from-existing"),
    "they take only what exists, and no SQL Server can be had here: tests/services/test_sql_existing.py",
)
"""Offerings whose examples are not applied, and why."""
EACH_OFFERING_HERE = pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            offering.name,
            marks=[pytest.mark.needs("mysql")] if offering.name.startswith("azure-mysql") else [],
        )
        for offering in offered(CATALOG)
        if offering.name not in NOTHING_THERE
    ],
)
NASTY = "a | b <script>alert(1)</script> `c` ```d``` 'e' \"f\" $(g) \\h\n# i [j](javascript:k) & *l*"


def example(name: str, language: str, mark: str = "") -> str:
    page = (PAGES / f"{name}.md").read_text()
    found = re.findall(rf"{re.escape(mark)}```{language}\n(.*?)\n```", page, re.DOTALL)
    assert found, f"{name} has no example in {language}"
    return found[0] if not mark else found[-1]


def test_the_pages_are_those_that_the_catalog_makes(tmp_path):
    shutil.copytree(PAGES, tmp_path / "services")

    made = CliRunner().invoke(app, ["docs", "--out", str(tmp_path / "services")])

    assert (made.exit_code, made.stderr) == (0, "")
    pages = {path.name: path.read_text() for path in PAGES.glob("*")}
    again = {path.name: path.read_text() for path in (tmp_path / "services").glob("*")}
    assert again == pages, "make them again: osb catalog docs --out docs/services"


def test_notes_are_kept_and_pages_of_no_offering_are_named(tmp_path):
    CliRunner().invoke(app, ["docs", "--out", str(tmp_path)])
    page = tmp_path / "azure-postgresql.md"
    page.write_text(page.read_text().replace(NOTES, f"{NOTES}\nOurs costs *nothing*.\n"))
    (tmp_path / "azure-teapot.md").write_text("old")

    made = CliRunner().invoke(app, ["docs", "--out", str(tmp_path)])

    assert notes_of(page.read_text()) == "Ours costs *nothing*."
    assert "azure-teapot.md is of no offering" in made.stderr
    assert (tmp_path / "azure-teapot.md").read_text() == "old"


def test_a_page_names_every_parameter_and_every_credential():
    for offering in offered(CATALOG):
        page = page_of(CATALOG, offering)

        for plan in offering.offered:
            names = {*plan.create_schema["properties"], *((plan.bind_schema or {}).get("properties") or {})}
            assert [name for name in names if f"| `{name}` |" not in page] == []
            keys = {key for composed in handed_out(plan.recipe).values() for key in composed}
            assert bool(keys) == plan.bindable
            assert [key for key in keys if f"| `{key}` |" not in page] == []


def test_a_page_tells_how_long_a_plan_takes_and_what_it_can_become():
    offering = next(o for o in CATALOG.offerings if o.name == "azure-app-configuration")
    first, second, third, _ = offering.plans
    plans = (
        replace(
            first, plan_updateable=True, updates_to=(second.id,), expected_duration=timedelta(seconds=90)
        ),
        replace(second, plan_updateable=True, updates_to=(), expected_duration=timedelta(minutes=5)),
        replace(third, plan_updateable=True, updates_to=None),
    )

    page = page_of(CATALOG, replace(offering, plans=plans))

    rows = {row.split("`")[1]: row.split(" | ")[3:] for row in re.findall(r"^\| `.*", page, re.MULTILINE)[:3]}
    assert rows == {
        "free": ["90 s", "60 min", "`developer` |"],
        "developer": ["5 min", "60 min", "no other |"],
        "standard": ["| 60 min", "`free`, `developer` |"],
    }


def spoilt():
    """A catalog whose authors write whatever they like."""
    offering = next(o for o in CATALOG.offerings if o.name == "azure-app-configuration")
    schema = {
        "type": "object",
        "properties": {
            "words": {"type": "string", "default": NASTY, "description": NASTY, "enum": [NASTY, "x"]},
            "form": {"type": "string", "pattern": "^(a|b)`+$"},
        },
        "required": ["form"],
    }
    plan = replace(offering.plans[0], description=NASTY, create_schema=schema, metadata={"bullets": [NASTY]})
    metadata = {"displayName": NASTY, "longDescription": NASTY, "documentationUrl": "javascript:alert(1)"}
    return replace(offering, description=NASTY, metadata=metadata, plans=(plan,))


def test_words_of_the_catalog_are_words_on_the_page():
    page = page_of(CATALOG, spoilt())

    prose = re.sub(r"(`{3,})\w+\n.*?\n\1", "", page, flags=re.DOTALL)
    outside_code = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", prose)
    assert "<script>" not in outside_code.replace("&lt;script>", "")
    assert "javascript:alert(1)" not in page.replace("&lt;script>alert(1)", "")
    assert "\n# i" not in page
    assert page.count(NOTES) == 1
    for table in re.findall(r"(?:^\|.*\|\n)+", prose, re.MULTILINE):
        rows = table.splitlines()
        assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {len(re.findall(r"\|", rows[1]))}


def test_an_example_hands_on_any_value_as_it_is():
    texts = {title: text for title, _, _, text in examples([Chosen(spoilt(), spoilt().plans[0])])}

    manifest = next(yaml.safe_load_all(texts["Kubernetes with Service Catalog"]))
    create = shlex.split(texts["Cloud Foundry"])
    order = shlex.split(texts["curl"].split("# Order azure-app-configuration\n")[1])
    assert manifest["spec"]["parameters"] == {"form": "<yours>", "words": NASTY}
    assert json.loads(create[create.index("-c") + 1])["words"] == NASTY
    assert json.loads(order[order.index("-d") + 1])["parameters"]["words"] == NASTY


@pytest.fixture(scope="module")
def broker(simulator_with_databases, migrated_file, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    file = folder / "broker.db"
    shutil.copy(migrated_file, file)
    world = World(simulator_with_databases, f"sqlite:///{file}", folder)
    try:
        yield world, world.start()
    finally:
        world.end()


@EACH_OFFERING_HERE
def test_the_curl_example_orders_binds_and_deletes(name, broker):
    world, running = broker
    script = example(name, "sh", RUN)
    if name in NOTHING_BEHIND:
        script = re.sub(r"# Credentials for an app, and their end\n.*?\n\n", "", script, flags=re.DOTALL)

    ended = subprocess.run(
        ["/bin/sh", "-e", "-c", script],
        env={"PATH": "/usr/bin:/bin", "B": running.url, "A": f"{PLATFORM}:{world.password}", "EVERY": "0.05"},
        capture_output=True,
        text=True,
        timeout=60,  # a database server is made within a few seconds
        check=False,
    )

    assert ended.returncode == 0, ended.stdout + ended.stderr
    bindable = any(
        plan.bindable for offering in CATALOG.offerings if offering.name == name for plan in offering.plans
    )
    assert ("credentials" in ended.stdout) == (bindable and name not in NOTHING_BEHIND)
    left = [
        r["id"] for r in world.azure.state()["resources"] if f"/{world.group}/".lower() in r["id"].lower()
    ]
    assert left == []


@EACH_OFFERING_HERE
@pytest.mark.anyio
async def test_the_manifests_are_carried_out_as_service_catalog_does(name, broker):
    world, running = broker
    documents = [
        document
        for document in yaml.safe_load_all(example(name, "yaml"))
        if document["kind"] == "ServiceInstance" or name not in NOTHING_BEHIND
    ]

    async with Controller(running.url, (PLATFORM, world.password), speed=20) as controller:
        await controller.relist()
        made = {}
        for document in documents:
            spec, own = document["spec"], document["metadata"]["name"]
            if document["kind"] == "ServiceInstance":
                made[own] = controller.provision(
                    own,
                    spec["clusterServiceClassExternalName"],
                    spec["clusterServicePlanExternalName"],
                    spec.get("parameters"),
                )
            else:
                made[own] = controller.bind(own, made[spec["instanceRef"]["name"]], spec.get("parameters"))
            await controller.settled(made[own])
            assert made[own].condition.ready, made[own].condition
        for thing in reversed(made.values()):
            thing.delete()
            await controller.settled(thing)
            assert thing.gone


def test_a_page_says_how_what_exists_is_adopted_where_that_can_be():
    pages = {offering.name: page_of(CATALOG, offering) for offering in offered(CATALOG)}

    vault = pages["azure-keyvault"].partition("## Adopting what exists")[2]
    assert "`Microsoft.KeyVault/vaults`" in vault
    assert "`manage`" in vault
    assert "Azure RBAC first." in vault
    cache = pages["azure-managed-redis"].partition("## Adopting what exists")[2].partition("## Examples")[0]
    assert "`manage`" not in cache
    assert "`resourceId` and `container`" in pages["azure-storage-blob"]
    assert "## Adopting what exists" not in pages["azure-postgresql"]
