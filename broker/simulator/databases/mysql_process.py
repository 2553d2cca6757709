"""A MySQL server: its program, its data folder and the process that serves it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import pymysql
from pymysql.cursors import Cursor

from broker.simulator.databases.process import Access, ServerFailed, ServerProcess
from broker.simulator.databases.runtime import launched

Result = TypeVar("Result")

# Debian keeps servers here, which an ordinary user's PATH leaves out.
_SYSTEM = "/usr/local/sbin:/usr/sbin:/sbin"

# `loose`: what another version does not know is passed over. A simulated server is small, and need not outlive the
# machine. Without names of hosts nobody who comes over TCP is `localhost`, from where root may sign in.
_OPTIONS = (
    "--lower-case-table-names=1",  # as in Azure, where it cannot be changed
    "--skip-name-resolve",
    "--skip-log-bin",
    "--local-infile=OFF",
    "--secure-file-priv=NULL",
    "--max-connections=80",
    "--innodb-buffer-pool-size=16M",
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-fast-shutdown=1",
    "--loose-innodb-log-file-size=4M",
    "--loose-innodb-doublewrite=OFF",
    "--auto-generate-certs=OFF",
    "--sha256-password-auto-generate-rsa-keys=OFF",
    "--caching-sha2-password-auto-generate-rsa-keys=OFF",
    "--loose-performance-schema=OFF",
    "--loose-mysqlx=OFF",
)
_ACCESS_DENIED = 1045


class NoMysqlServer(Exception):
    """There is no program that serves MySQL; the message says what to do."""


def found_mysqld(named: Path | None) -> Path | None:
    """
    Return the program of a MySQL server: the one that was *named*, else the system's, else None.

    Raises:
        NoMysqlServer: What was named is no such program. MariaDB's is none: its statements differ.
    """
    if named is None:
        installed = shutil.which("mysqld") or shutil.which("mysqld", path=_SYSTEM)
        return Path(installed) if installed and _is_mysql(Path(installed)) else None
    if not _is_mysql(named):
        raise NoMysqlServer(f"{named} is no program of a MySQL server (mysqld), version 8.0 or later.")
    return named.absolute()


def _is_mysql(program: Path) -> bool:
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        asked = subprocess.run(  # noqa: S603 - what an operator named, without a shell
            [str(program), "--version"], capture_output=True, text=True, check=False, timeout=20
        )
        words = f"{asked.stdout}{asked.stderr}"
        return asked.returncode == 0 and "MySQL" in words and "MariaDB" not in words
    return False


@dataclass
class MysqlProcess(ServerProcess):
    """A server of MySQL. Whoever starts it is whom it runs as, root included."""

    product = "MySQL"
    port_is_taken = "Address already in use"
    end_signal = signal.SIGTERM
    pid_file = "mysqld.pid"

    program: Path
    folder: Path
    access: Access = field(default_factory=Access)
    port: int | None = field(default=None, init=False)
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _socket_folder: Path | None = field(default=None, init=False)

    def initialise(self) -> None:
        """
        Make an empty data folder, whose root has no password yet. Takes some seconds.

        Raises:
            ServerFailed: The program did not succeed; the end of its log is in the message.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        made = subprocess.run(  # noqa: S603 - the program of a MySQL server, without a shell
            [str(self.program), *self._common(), "--initialize-insecure"],
            cwd="/",
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if made.returncode != 0:
            raise ServerFailed(f"MySQL could not make {self.data}: {made.stdout.strip()[-800:]}")

    def at(self, folder: Path) -> MysqlProcess:
        return MysqlProcess(self.program, folder, self.access)

    def command(self) -> list[str]:
        secured = [
            f"--ssl-cert={self.folder / 'server.crt'}",
            f"--ssl-key={self.folder / 'server.key'}",
            "--require-secure-transport=ON",
        ]
        return launched(
            str(self.program),
            *self._common(),
            *(secured if self.access.certificate is not None else ["--loose-skip-ssl"]),
            *([f"--bind-address={self.access.address}"] if self.access.address else ["--skip-networking"]),
            f"--port={self.port}",
            f"--socket={self._socket}",
            f"--pid-file={self.data / self.pid_file}",
            end=self.end_signal,
        )

    def environment(self) -> Mapping[str, str]:
        return {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "GMT"}

    def write_files(self) -> None:
        if self.access.certificate is not None and self.access.key is not None:
            self.write("server.crt", self.access.certificate)
            self.write("server.key", self.access.key)

    async def is_ready(self) -> bool:
        return await asyncio.to_thread(self._answers)

    async def remove(self) -> None:
        """Kill the server, whose data nobody wants any more, and delete its folder."""
        if self.running and self._process is not None:
            self._process.kill()
        await super().remove()

    async def as_root(self, work: Callable[[Cursor], Result]) -> Result:
        """Do *work* as root, over the unix socket and in a thread; each statement is a transaction of its own."""

        def do() -> Result:
            with self.root() as cursor:
                return work(cursor)

        return await asyncio.to_thread(do)

    @contextlib.contextmanager
    def root(self) -> Iterator[Cursor]:
        """A cursor of root, as whom in Azure the platform alone signs in."""
        kept = self.folder / "root"
        connection = pymysql.Connection(
            unix_socket=str(self._socket),
            user="root",
            password=kept.read_text() if kept.exists() else "",
            autocommit=True,
            ssl_disabled=True,
            charset="utf8mb4",
            read_timeout=60,
        )
        with contextlib.closing(connection):
            yield connection.cursor()

    def keep_root(self, password: str) -> None:
        """Give root a password, and keep it beside the data."""
        with self.root() as cursor:
            cursor.execute("ALTER USER root@localhost IDENTIFIED BY %s", (password,))
        self.write("root", password.encode())

    @property
    def _socket(self) -> Path:
        return self.socket_folder() / "mysql.sock"

    def _common(self) -> list[str]:
        # An unpacked archive has its messages beside the program.
        home = self.program.parent
        return [
            "--no-defaults",
            f"--datadir={self.data}",
            *([f"--lc-messages-dir={home / 'share'}"] if (home / "share").is_dir() else []),
            *(["--user=root"] if os.geteuid() == 0 else []),
            *_OPTIONS,
        ]

    def _answers(self) -> bool:
        # The driver does not close a socket that it could not connect.
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(self._socket)) != 0:
                return False
        try:
            with self.root():
                return True
        except pymysql.err.OperationalError as error:
            if error.args[0] == _ACCESS_DENIED:
                raise ServerFailed(
                    f"root of {self.folder} has another password than the one kept."
                ) from error
            return False
        except pymysql.err.MySQLError:
            return False
