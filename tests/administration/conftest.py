"""A broker with operators, on a real port and on both databases, with an `External` system behind it."""

import base64
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from broker.domain.catalog import Catalog
from broker.setting_values import OperatorCredentials
from tests.administration.desk import ALICE, BOB, OPERATORS, PASSWORDS, PLATFORMS, READER, Desk
from tests.catalog.offering_files import an_offering
from tests.lifecycle.conftest import catalog_with_children
from tests.osb.external import External, ExternalProvisioner
from tests.osb.platform import Platform
from tests.osb.serving import Served, served
from tests.postgresql import dsn_of

TOP = Path(__file__).parent.parent.parent


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def database_url(request, tmp_path_factory) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path_factory.mktemp('store')}/broker.db"
        return
    dsn = request.getfixturevalue("postgres_dsn")
    name = f"admin_{secrets.token_hex(8)}"
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    yield dsn_of(dsn, name)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(scope="session")
def external() -> External:
    return External()


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    return catalog_with_children()


@pytest.fixture(scope="session")
def broker(database_url, external, catalog) -> Iterator[Served]:
    with served(
        database_url=database_url,
        sealing_key="tests:" + base64.b64encode(os.urandom(32)).decode(),
        platforms=PLATFORMS,
        catalog=catalog,
        provisioners={"external": ExternalProvisioner(external)},
        operators=OPERATORS,
    ) as running:
        yield running


def a_platform(broker: Served, name: str) -> Iterator[Platform]:
    client = Platform(broker.url, name, name, PASSWORDS[name])
    yield client
    client.close()


@pytest.fixture
def platform(broker) -> Iterator[Platform]:
    yield from a_platform(broker, "kubernetes")


@pytest.fixture
def other_platform(broker) -> Iterator[Platform]:
    yield from a_platform(broker, "cloudfoundry")


def a_desk(broker: Served, operator: OperatorCredentials) -> Iterator[Desk]:
    with Desk(broker.url, operator.name, operator.bearer_tokens[0]) as desk:
        yield desk


@pytest.fixture
def reader(broker) -> Iterator[Desk]:
    """An operator who may look."""
    yield from a_desk(broker, READER)


@pytest.fixture
def alice(broker) -> Iterator[Desk]:
    """An operator who may act."""
    yield from a_desk(broker, ALICE)


@pytest.fixture
def bob(broker) -> Iterator[Desk]:
    """Another one who may act."""
    yield from a_desk(broker, BOB)


@pytest.fixture
def offering_files() -> dict[str, str]:
    """The text of a small catalog of one offering, by path, with ids of its own and a name of its own."""
    return an_offering(f"storage-{secrets.token_hex(4)}")


@pytest.fixture
def home(tmp_path, broker) -> Path:
    """A home folder with profiles for two operators and for a stranger; rita's is the default."""
    folder = tmp_path / "config" / "osb"
    folder.mkdir(parents=True)
    lines = ['default = "rita"']
    for name, token in (
        ("rita", READER.bearer_tokens[0]),
        ("alice", ALICE.bearer_tokens[0]),
        ("stranger", PASSWORDS["kubernetes"]),
    ):
        (tmp_path / f"{name}.token").write_text(token + "\n")
        lines += [f"[profiles.{name}]", f'url = "{broker.url}/"', f'token_file = "{tmp_path}/{name}.token"']
    (folder / "profiles.toml").write_text("\n".join(lines))
    return tmp_path


@pytest.fixture
def environment(home) -> dict[str, str]:
    """What a process of that home's owner has around it."""
    return {"PATH": os.environ["PATH"], "HOME": str(home), "XDG_CONFIG_HOME": str(home / "config")}


@pytest.fixture
def osb(environment):
    """Run `osb` with that home; returns the finished process."""

    def run(*arguments: object, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "broker", *map(str, arguments)],
            cwd=TOP,
            env={**environment, **more},
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=60,
            check=False,
        )

    return run
