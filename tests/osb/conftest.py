"""The real broker on a real port, on both databases, with an `External` system behind it instead of Azure."""

import base64
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field

import psycopg
import pytest
from psycopg import sql

from broker.api.catalog import document as written
from broker.catalog.reader import read_catalog
from broker.setting_values import PlatformCredentials
from broker.shipped import shipped
from tests.osb.external import External, ExternalProvisioner
from tests.osb.offerings import CATALOG
from tests.osb.platform import Platform
from tests.osb.serving import Served, served
from tests.postgresql import dsn_of


def a_secret() -> str:
    return secrets.token_urlsafe(24)


@dataclass(frozen=True)
class Passwords:
    """What a platform may show."""

    name: str
    password: str = field(default_factory=a_secret)
    second_password: str = field(default_factory=a_secret)
    token: str = field(default_factory=a_secret)

    @property
    def setting(self) -> PlatformCredentials:
        return PlatformCredentials(
            self.name, f"{self.name}-user", (self.password, self.second_password), (self.token,)
        )


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def database_url(request, tmp_path_factory) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path_factory.mktemp('store')}/broker.db"
        return
    dsn = request.getfixturevalue("postgres_dsn")
    name = f"osb_{secrets.token_hex(8)}"
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    yield dsn_of(dsn, name)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(scope="session")
def external() -> External:
    return External()


@pytest.fixture(scope="session")
def credentials() -> Passwords:
    return Passwords("kubernetes")


@pytest.fixture(scope="session")
def other_credentials() -> Passwords:
    return Passwords("cloudfoundry")


@pytest.fixture(scope="session")
def broker(database_url, external, credentials, other_credentials) -> Iterator[Served]:
    with served(
        database_url=database_url,
        sealing_key="tests:" + base64.b64encode(os.urandom(32)).decode(),
        platforms=(credentials.setting, other_credentials.setting),
        catalog=CATALOG,
        provisioners={"external": ExternalProvisioner(external)},
    ) as running:
        yield running


@pytest.fixture
def platform(broker, credentials) -> Iterator[Platform]:
    client = Platform(broker.url, credentials.name, credentials.setting.username, credentials.password)
    yield client
    client.close()


@pytest.fixture
def impatient(broker, credentials) -> Iterator[Platform]:
    """The same platform, at a listener whose requests wait for hardly anything: for work that is held."""
    client = Platform(
        broker.impatient_url, credentials.name, credentials.setting.username, credentials.password
    )
    yield client
    client.close()


@pytest.fixture
def other_platform(broker, other_credentials) -> Iterator[Platform]:
    client = Platform(
        broker.url, other_credentials.name, other_credentials.setting.username, other_credentials.password
    )
    yield client
    client.close()


@pytest.fixture(scope="session")
def shipped_document() -> dict:
    """The catalog that is shipped, as a platform would read it."""
    return written(read_catalog(shipped("catalog")))


@pytest.fixture(params=["of these tests", "shipped"])
def document(request, platform) -> dict:
    if request.param == "shipped":
        return request.getfixturevalue("shipped_document")
    return platform.catalog().json()
