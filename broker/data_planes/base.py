"""
What every data plane has in common: the server that is spoken to, and how it can fail.

    DataPlaneFailure
    ├── Unreachable         no connection, or it broke; the same call may work later
    ├── ServerGone          the server's name is not known; with ARM's 404, the server is gone
    ├── NotTrusted          the server's certificate does not prove that it is the server asked for
    ├── Refused             the server does not accept the administrator's password
    ├── StatementFailed     the server answered a statement with an error
    │   └── DatabaseMissing the server has no such database
    └── SessionsRemain      sessions of a login did not end in time
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path


@dataclass(frozen=True)
class Server:
    """
    A database server and the administrator whom the broker speaks to it as.

    Attributes:
        host: Name or address, as the resource's own properties give it.
        port: TCP port.
        administrator: Name of the administrator's login.
        password: The administrator's password, or its Entra token; never shown.
        entra: Whether the administrator signs in by an Entra token, which the server gets in clear, inside TLS.
        ca_file: PEM file of the certificates to trust; None: those of the system.
        connect_timeout: How long to wait for a connection, sign-in included.
        statement_timeout: How long one statement may take.
    """

    host: str
    port: int
    administrator: str
    password: str = field(repr=False)
    ca_file: Path | None = None
    connect_timeout: timedelta = timedelta(seconds=10)
    statement_timeout: timedelta = timedelta(seconds=20)
    entra: bool = False


@dataclass(frozen=True)
class EntraPrincipal:
    """
    Whom a login without a password is for.

    Attributes:
        object_id: The object id in Entra, a GUID; of a managed identity or application its service principal's.
        kind: `ServicePrincipal`, `Group` or `User`.
        client_id: The client id (application id), where it is known.
    """

    object_id: str
    kind: str = "ServicePrincipal"
    client_id: str | None = None


class DataPlaneFailure(Exception):
    """
    Work inside a database server failed.

    Attributes:
        code: One word for the kind of failure.
        retryable: Whether the same call, unchanged, may succeed later.
        not_reached: True if no statement was sent, so that nothing can have changed.
        advice: What to do about it, for the person who asked.
    """

    code = "DataPlaneFailure"
    retryable = False
    not_reached = False
    advice = "An operator finds more in the broker's log."

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Unreachable(DataPlaneFailure):
    """No connection came about, or it broke off; then what was sent may have worked or not."""

    code = "Unreachable"
    retryable = True
    advice = "If it goes on, an operator has to look at the server and its firewall."

    def __init__(self, message: str, *, not_reached: bool) -> None:
        super().__init__(message)
        self.not_reached = not_reached


class ServerGone(DataPlaneFailure):
    """The server's name is not known to DNS. Only ARM can tell whether it was deleted."""

    code = "ServerGone"
    retryable = True  # a server that was made just now may not be known everywhere yet
    not_reached = True
    advice = "If it was deleted in Azure, delete this service instance as well."


class NotTrusted(DataPlaneFailure):
    """The server has no certificate that the broker trusts for its name. An operator's affair."""

    code = "NotTrusted"
    not_reached = True
    advice = "An operator has to check the certificates that the broker trusts, and the host name."


class Refused(DataPlaneFailure):
    """The server did not accept the administrator's name and password. An operator's affair."""

    code = "Refused"
    not_reached = True
    advice = "An operator has to set the broker's own credentials right."


class StatementFailed(DataPlaneFailure):
    """
    The server refused a statement.

    Attributes:
        sqlstate: The server's five-character code, such as 42501 (insufficient privilege).
    """

    code = "StatementFailed"
    advice = "An operator has to set right in the server what it objects to; then try again."

    def __init__(self, message: str, *, sqlstate: str, retryable: bool = False) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate
        self.retryable = retryable


class DatabaseMissing(StatementFailed):
    """The server answers and has no such database."""

    def __init__(self, server: Server, database: str, *, sqlstate: str) -> None:
        super().__init__(
            f"The database server {server.host} has no database {database!r}.", sqlstate=sqlstate
        )


class SessionsRemain(DataPlaneFailure):
    """Sessions of a login were told to end and were still there when the time was over."""

    code = "SessionsRemain"
    retryable = True
    advice = "End the sessions of this login, then try again."
