"""What a database server says, asked by a driver with what a binding handed out."""

from typing import Any

import psycopg


def connect(credentials: dict[str, Any], ca_file: str) -> psycopg.Connection[Any]:
    """A fresh connection with what a binding handed out."""
    return psycopg.connect(f"{credentials['uri']}&sslrootcert={ca_file}", connect_timeout=20, autocommit=True)


def logins(credentials: dict[str, Any], ca_file: str) -> set[str]:
    """The bindings' logins that the server knows, as one of them sees it."""
    with connect(credentials, ca_file) as connection:
        return {
            row[0] for row in connection.execute("SELECT rolname FROM pg_roles WHERE rolname LIKE 'app%'")
        }


def works(credentials: dict[str, Any], ca_file: str) -> bool:
    """Whether one can sign in; anything but a refused password is a fault of its own."""
    try:
        connect(credentials, ca_file).close()
    except psycopg.OperationalError as refusal:
        if "authentication failed" in str(refusal) or "not permitted to log in" in str(refusal):
            return False
        raise
    return True
