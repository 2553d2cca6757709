"""A PgBouncer in transaction mode in front of the tests' PostgreSQL."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

import psycopg

from tests.needs import the_program

SERVER_CONNECTIONS = 4
"""Far fewer than the processes open: consecutive transactions of one client meet different servers."""
STARTS_WITHIN = 20.0
"""Seconds; it starts in a tenth of one on an idle machine."""


@dataclass(frozen=True)
class PgBouncer:
    port: int
    dsn: str

    def url(self, direct: str) -> str:
        """The URL of the same database through the pooler, as an operator would write it."""
        parts = urlsplit(direct)
        credentials = parts.netloc.rpartition("@")[0]
        return urlunsplit(
            parts._replace(netloc=f"{credentials}@127.0.0.1:{self.port}", query="pgbouncer=true")
        )

    def ask(self, question: str) -> list[dict[str, object]]:
        """Ask the pooler's own console."""
        with psycopg.connect(
            self._console,
            autocommit=True,
            cursor_factory=psycopg.ClientCursor,
            row_factory=psycopg.rows.dict_row,
        ) as connection:
            return connection.execute(question).fetchall()

    @property
    def _console(self) -> str:
        credentials = urlsplit(self.dsn).netloc.rpartition("@")[0]
        return f"postgresql://{credentials}@127.0.0.1:{self.port}/pgbouncer"


@contextmanager
def pgbouncer(dsn: str, folder: Path) -> Iterator[PgBouncer]:
    """Run one in front of the server that *dsn* names, for as long as the block lasts."""
    server = urlsplit(dsn)
    user, password = unquote(server.username), unquote(server.password)
    (folder / "users.txt").write_text(f'"{user}" "{password}"\n')
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    lines = [
        "[databases]",
        f"* = host={server.hostname} port={server.port}",
        "[pgbouncer]",
        "listen_addr = 127.0.0.1",
        f"listen_port = {port}",
        "unix_socket_dir =",
        "pool_mode = transaction",
        f"default_pool_size = {SERVER_CONNECTIONS}",
        "max_client_conn = 500",
        "auth_type = scram-sha-256",
        f"auth_file = {folder}/users.txt",
        f"admin_users = {user}",
    ]
    if os.geteuid() == 0:
        # It refuses to be root, and reads its files only afterwards.
        lines.append("user = nobody")
        folder.chmod(0o755)
    (folder / "pgbouncer.ini").write_text("\n".join([*lines, ""]))
    with (folder / "pgbouncer.log").open("w") as log:
        process = subprocess.Popen(
            [*the_program("pgbouncer"), folder / "pgbouncer.ini"], stderr=log, stdout=log
        )
    try:
        until = time.monotonic() + STARTS_WITHIN
        while not _accepts(port):
            assert process.poll() is None, (folder / "pgbouncer.log").read_text()
            assert time.monotonic() < until, "PgBouncer does not accept connections"
            time.sleep(0.02)
        yield PgBouncer(port, dsn)
    finally:
        process.kill()
        process.wait()


def _accepts(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0
