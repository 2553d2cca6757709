"""
What stands in for Entra inside a simulated PostgreSQL server: nobody here can sign in by a real token.

The stand-in for Azure's `pgaadauth_create_principal_with_oid` has its name and its arguments and makes the role that
the real one makes, but without the label by which Azure would take tokens. The broker's own Entra identity is a role
whose password is the token. So everything around the log-in is real: the statements, the grants, the end of a login.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from broker.simulator.databases.cluster import SUPERUSER

_STAND_IN = """
CREATE FUNCTION pg_catalog.pgaadauth_create_principal_with_oid(
    rolename text, objectid text, objecttype text, isadmin boolean, ismfa boolean
) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    IF objecttype NOT IN ('user', 'group', 'service') THEN
        RAISE EXCEPTION 'unknown type %', objecttype;
    END IF;
    EXECUTE format('CREATE ROLE %I LOGIN', rolename);
    INSERT INTO public.entra_principals VALUES (rolename, objectid, objecttype, isadmin, ismfa);
    RETURN format('Created role for %s', rolename);
END $$;
CREATE TABLE public.entra_principals (role text, oid text, type text, admin boolean, mfa boolean);
GRANT SELECT, INSERT ON public.entra_principals TO PUBLIC;
"""


@contextmanager
def superuser(folder: Path, server: str = "") -> Iterator[psycopg.Connection]:
    """A connection of the superuser to the one server (of this name) whose process runs below *folder*."""
    own = hashlib.sha256(server.encode()).hexdigest()[:12]
    places = [folder, *(Path(file.read_text().strip()) for file in folder.rglob("*.place"))]
    found = [file for place in places for file in place.rglob("postmaster.pid")]
    (running,) = (file for file in found if not server or own in file.parts)
    _, _, _, port, socket_folder, *_ = running.read_text().splitlines()
    password = next(
        file.read_text() for above in running.parents for file in above.glob("superuser") if file.is_file()
    )
    with psycopg.connect(
        host=socket_folder,
        port=port,
        user=SUPERUSER,
        password=password,
        dbname="postgres",
        autocommit=True,
    ) as connection:
        yield connection


def make_administrator(folder: Path, name: str, token: str, server: str = "") -> None:
    """Make the role that Azure makes of an administrator of type Entra, and the stand-in."""
    with superuser(folder, server) as connection:
        connection.execute(_STAND_IN)
        connection.execute(
            sql.SQL("CREATE ROLE {} LOGIN CREATEROLE CREATEDB PASSWORD {} IN ROLE azure_pg_admin").format(
                sql.Identifier(name), sql.Literal(token)
            )
        )


def principals(folder: Path, server: str = "") -> list[tuple[object, ...]]:
    """What the stand-in was told: role, object id, type, whether it administers or must use more factors."""
    with superuser(folder, server) as connection:
        return connection.execute("SELECT * FROM public.entra_principals").fetchall()


def give_password(folder: Path, role: str, password: str, server: str = "") -> None:
    """Let a role sign in by a password where it would by a token."""
    with superuser(folder, server) as connection:
        connection.execute(
            sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), sql.Literal(password))
        )
