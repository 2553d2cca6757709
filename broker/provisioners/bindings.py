"""
The verbs of a binding recipe, each with its undo; what a verb will make is written down before it runs.

bind: "" draws the secrets and writes the record, "verbs" makes the logins and composes the credentials.
unbind reads the binding's record, and the sealed administrator of the server, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from broker.azure.arm import Arm
from broker.data_planes import connection_strings, postgresql, secrets
from broker.data_planes.connection_strings import PostgresqlAccess
from broker.domain.bindings import ServiceBinding
from broker.domain.json_values import JsonObject
from broker.provisioners import databases
from broker.provisioners.base import Next, Outcome, Work
from broker.provisioners.options import ProvisionerOptions
from broker.provisioners.recipe import Recipe, pick
from broker.provisioners.verdicts import Impossible

LOGIN_PREFIX = "app"
DATABASE_USER = "database_user"

CONNECTION_STRINGS: Mapping[str, Callable[[PostgresqlAccess], str]] = {
    "uri": connection_strings.uri,
    "jdbc": connection_strings.jdbc,
    "libpq": connection_strings.libpq,
    "ado_net": connection_strings.ado_net,
}


class Bindings:
    """Makes and removes credentials, one step at a time."""

    def __init__(self, arm: Arm, options: ProvisionerOptions) -> None:
        self._arm = arm
        self._options = options

    async def prepare(self, work: Work) -> Next:
        """Write down what will be made; a second call draws nothing anew that was written down before."""
        binding, record = _binding(work), work.instance.record
        made: list[JsonObject] = []
        secret: dict[str, Any] = dict(binding.secrets)
        for verb in Recipe.of(work.operation).binding:
            if DATABASE_USER not in verb:
                continue
            database = record.get("database")
            if not database:
                raise Impossible("This service instance has no database yet.")
            secret.setdefault("username", secrets.generated_username(LOGIN_PREFIX, binding.key.hex))
            secret.setdefault("password", secrets.generated_password())
            server = record["above"] if database["server"] == "parent" else record["main"]
            made.append(
                {
                    "verb": DATABASE_USER,
                    **{key: database[key] for key in ("host", "port", "database", "owner_role", "server")},
                    "username": secret["username"],
                    "resource": {"id": server["id"], "api_version": server["api_version"]},
                }
            )
        return Next(
            phase="verbs",
            record={"format": 1, "made": made},
            secrets=secret,
            description="Making the credentials.",
        )

    async def verbs(self, work: Work) -> Next:
        """Make what was written down and answer with the credentials."""
        binding, secret = _binding(work), _binding(work).secrets
        for made in binding.record["made"]:
            await databases.from_server(
                work,
                postgresql.create_login(
                    databases.server_of(made, work.instance, work.parent, self._options),
                    made["database"],
                    owner_role=made["owner_role"],
                    username=made["username"],
                    password=secret["password"],
                    valid_until=binding.expires_at,
                ),
            )
        credentials, endpoints = composed(Recipe.of(work.operation), work.instance.record, binding)
        return Next(
            Outcome.DONE,
            phase="verbs",
            credentials=credentials,
            endpoints=endpoints,
            description="The credentials are ready.",
        )

    async def undo(self, work: Work) -> Next:
        """Undo what the binding's record names, the last first; what is gone is gone."""
        binding = _binding(work)
        for made in reversed(binding.record.get("made", ())):
            try:
                server = databases.server_of(made, work.instance, work.parent, self._options)
            except Impossible:
                if await databases.is_there(self._arm, work, made["resource"]):
                    raise
                continue
            await databases.unless_gone(
                self._arm,
                work,
                made["resource"],
                postgresql.drop_login(
                    server, made["database"], username=made["username"], owner_role=made["owner_role"]
                ),
            )
        return Next(Outcome.DONE, description="The credentials are refused from now on.")


def composed(
    recipe: Recipe, record: JsonObject, binding: ServiceBinding
) -> tuple[JsonObject, tuple[JsonObject, ...]]:
    """Put together credentials and endpoints as the recipe's last verb says. Pure."""
    said: JsonObject = next(
        (verb["compose"] for verb in recipe.binding if "compose" in verb), {"credentials": {}}
    )
    database = record.get("database") or {}
    source = {
        "database": database,
        "user": dict(binding.secrets),
        "outputs": record.get("outputs", {}),
        "names": record.get("names", {}),
        "record": record,
        "parameters": dict(binding.parameters),
        "binding": {"id": binding.binding_id},
    }
    credentials = {key: _value(value, source) for key, value in said["credentials"].items()}
    endpoints = tuple(
        {
            "host": pick(endpoint["host"], source),
            "ports": [str(pick(endpoint["port"], source))],
            "protocol": endpoint.get("protocol", "tcp"),
        }
        for endpoint in said.get("endpoints", ())
    )
    return credentials, endpoints


def _value(said: JsonObject, source: JsonObject) -> Any:
    if "pick" in said:
        return pick(said["pick"], source)
    if "connection_string" in said:
        database, user = source["database"], source["user"]
        access = PostgresqlAccess(
            host=database["host"],
            port=database["port"],
            database=database["database"],
            username=user["username"],
            password=user["password"],
        )
        return CONNECTION_STRINGS[said["connection_string"]](access)
    return said["value"]


def _binding(work: Work) -> ServiceBinding:
    if work.binding is None:
        raise ValueError("This step is about a binding and was given none.")
    return work.binding
