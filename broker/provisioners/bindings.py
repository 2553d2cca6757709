"""
The verbs of a binding recipe, each with its undo; what a verb will make is written down before it runs.

bind: "" draws the secrets and writes the record, "verbs" makes what is in it and composes the credentials.
unbind reads the binding's record, and the sealed administrator of the server, and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import structlog

from broker.azure.arm import Arm
from broker.data_planes import connection_strings, secrets
from broker.data_planes.base import EntraPrincipal, Refused
from broker.data_planes.connection_strings import DatabaseAccess
from broker.data_planes.engines import STRINGS, engine
from broker.domain.adoption import adopted_as
from broker.domain.binding_keys import reads_keys
from broker.domain.bindings import ServiceBinding
from broker.domain.credential_strings import ENDPOINT_KEYS, MADE_OF
from broker.domain.databases import DATABASE_KINDS
from broker.domain.expressions import roots
from broker.domain.instances import InstanceState, ServiceInstance
from broker.domain.json_values import JsonObject
from broker.domain.operations import ExternalResource
from broker.provisioners import databases, limits, records, sas_policies, sub_resources
from broker.provisioners.base import Cost, Next, Outcome, StepFailed, Work
from broker.provisioners.options import ProvisionerOptions
from broker.provisioners.recipe import Recipe, pick
from broker.provisioners.sub_resources import picked
from broker.provisioners.verdicts import NOT_POSSIBLE, Impossible, from_azure, request_id

log = structlog.get_logger(__name__)

_NO_PRINCIPAL = (
    "This broker makes no logins for Entra principals: it was not told its own. Bind with another auth, or an operator "
    "has to set BROKER_AZURE_PRINCIPAL_ID and BROKER_AZURE_PRINCIPAL_NAME and update the service instance."
)
_NO_END = (
    "Bindings of this service plan end at a time, and a login by Entra tokens has no password that could end. Bind "
    "with another auth."
)
LOGIN_PREFIX = "app"
DATABASE_USER = "database_user"
SUB_RESOURCES = frozenset({"child", "role"})
SAS_POLICY = sas_policies.VERB
_LOOKS_FOR_A_NAME = 4
"""How often a server's name is looked up in vain before a bind fails; DNS learns of a new one within seconds."""
RECIPE = "recipe"
"""The key of a binding's record under which its verbs and the defaults of its parameters are, if it holds keys."""
SUB_RESOURCES_SEALED = "sub_resources"
"""The key of a binding's secrets under which each sub-resource that has a password has it, by its word."""


class Bindings:
    """Makes and removes credentials, one step at a time."""

    def __init__(self, arm: Arm, options: ProvisionerOptions) -> None:
        self._arm = arm
        self._options = options

    async def prepare(self, work: Work) -> Next:
        """Write down what will be made; a second call draws nothing anew that was written down before."""
        binding, recipe = _binding(work), Recipe.of(work.operation)
        secret: dict[str, Any] = dict(binding.secrets)
        source = self._source(recipe, work, binding)
        made: list[JsonObject] = []
        sealed = {**secret.get(SUB_RESOURCES_SEALED, {})}
        for verb in recipe.verbs(binding.parameters):
            ((name, said),) = verb.items()
            if "when" in said and not pick(said["when"], source):
                continue
            match name:
                case "require":
                    if not pick(said["that"], source):
                        # What is wrong with the request alone stays wrong.
                        never = roots(said["that"]) <= {"parameters"}
                        raise Impossible(said["otherwise"], replace(NOT_POSSIBLE, never=never))
                case "database_user":
                    made.append(_login(work, said, source, self._options, secret))
                case "child":
                    made.append(sub_resources.child(said, source, binding.key, sealed))
                case "role":
                    version = self._arm.api_version(limits.ROLE_ASSIGNMENTS)
                    made.append(sub_resources.role(said, source, binding.key, api_version=version))
                case "sas_policy":
                    made.append(sas_policies.described(said, source, binding))
        if sealed:
            secret[SUB_RESOURCES_SEALED] = sealed
        for one in made:
            await limits.check(self._arm, work, one)
        resources = [
            ExternalResource(
                work.instance.key, one["id"], one["api_version"], position, binding_key=binding.key
            )
            for position, one in enumerate(made, start=1)
            if one["verb"] in SUB_RESOURCES
        ]
        record: JsonObject = {"format": 1, "made": made}
        if reads_keys(recipe.verbs(binding.parameters)):
            # Keys are looked at again long after this operation and its recipe are forgotten.
            frozen = {"verbs": list(recipe.verbs(binding.parameters)), "defaults": dict(recipe.bind_defaults)}
            record = {**record, RECIPE: frozen}
        return Next(
            phase="reach" if any(one.get("begun") is False for one in made) else "verbs",
            record=record,
            secrets=secret,
            resources=resources,
            description="Making the credentials.",
            cost=Cost(reads=len(resources), writes=len(recipe.verbs(binding.parameters))),
        )

    async def reach(self, work: Work) -> Next:
        """
        Sign in where a login will be made, and write down that it is begun from now on.

        A server that cannot be reached has no login to remove then, so that the bind fails and leaves nothing.
        """
        binding = _binding(work)
        made = [dict(one) for one in binding.record["made"]]
        for one in made:
            if one.get("begun") is False:
                server = databases.server_of(one, work.instance, work.parent, self._options)
                call = engine(databases.kind_of(one)).sign_in(server, one["database"])
                await databases.from_server(work, call, unknown_at_most=_LOOKS_FOR_A_NAME)
                one["begun"] = True
        return Next(
            phase="verbs",
            record={**binding.record, "made": made},
            description="Making the credentials.",
            cost=Cost(reads=len(made), writes=len(made)),
        )

    async def verbs(self, work: Work) -> Next:
        """Make what was written down and answer with the credentials."""
        binding, recipe = _binding(work), Recipe.of(work.operation)
        found = known_of(binding)
        asked: dict[str, str] = {**work.operation.state.get("asked", {})}
        for made in binding.record["made"]:
            if made["verb"] in SUB_RESOURCES:
                sealed = binding.secrets.get(SUB_RESOURCES_SEALED, {}).get(made.get("word"), {})
                if not await sub_resources.make(self._arm, work, made, sealed.get("password"), asked):
                    return Next(
                        phase="verbs",
                        state={**work.operation.state, "asked": asked},
                        delay=self._options.poll_interval,
                        description="Waiting for Azure to make the credentials.",
                        progress=False,
                        cost=Cost(reads=len(binding.record["made"])),
                    )
            elif made["verb"] == SAS_POLICY:
                token = await sas_policies.put(self._arm, self._options, work, made, binding)
                found[made["word"]] = {"token": token, "policy": made["policy"]}
            else:
                await self._make_login(work, made, binding)
        source = self._source(recipe, work, binding)
        for verb in recipe.verbs(binding.parameters):
            if "action" in verb:
                said = verb["action"]
                found[said["word"]] = await self._act(work, said, {**source, "made": found})
        credentials, endpoints = composed(recipe.verbs(binding.parameters), {**source, "made": found})
        return Next(
            Outcome.DONE,
            phase="verbs",
            credentials=credentials,
            endpoints=endpoints,
            keys_read=RECIPE in binding.record,
            description="The credentials are ready.",
        )

    async def undo(self, work: Work) -> Next:
        """Undo what the binding's record names, the last first; what is gone is gone."""
        binding = _binding(work)
        gone: list[str] = []
        for made in reversed(binding.record.get("made", ())):
            if made["verb"] in SUB_RESOURCES:
                if not await sub_resources.remove(self._arm, work, made):
                    return Next(
                        gone=gone,
                        delay=self._options.poll_interval,
                        description="Waiting until the credentials are gone.",
                        progress=bool(gone),
                        cost=Cost(reads=2 * len(binding.record["made"]), deletes=1),
                    )
                gone.append(made["id"])
            elif made["verb"] == SAS_POLICY:
                await sas_policies.remove(self._arm, self._options, work, made, binding)
            else:
                await self._drop_login(work, made)
        return Next(Outcome.DONE, gone=gone, description="The credentials are refused from now on.")

    async def _make_login(self, work: Work, made: JsonObject, binding: ServiceBinding) -> None:
        if "entra" in made:
            await self._make_entra_login(work, made)
            return
        await databases.from_server(
            work,
            engine(databases.kind_of(made)).create_login(
                databases.server_of(made, work.instance, work.parent, self._options),
                made["database"],
                owner_role=made["owner_role"],
                username=made["username"],
                password=binding.secrets["password"],
                valid_until=binding.expires_at,
                **({"roles": made["roles"]} if "roles" in made else {}),
            ),
        )

    async def _make_entra_login(self, work: Work, made: JsonObject) -> None:
        own = self._options.principal
        if own is None:
            raise Impossible(_NO_PRINCIPAL)
        server = databases.server_of(made, work.instance, work.parent, self._options)
        work.guard()
        token = await from_azure(self._arm.token(self._arm.cloud.token_scopes[databases.kind_of(made)]))
        try:
            await databases.from_server(
                work,
                engine(databases.kind_of(made)).create_entra_login(
                    server,
                    made["database"],
                    owner_role=made["owner_role"],
                    username=made["username"],
                    principal=EntraPrincipal(
                        made["entra"]["principal"],
                        made["entra"]["principal_type"],
                        made["entra"].get("client"),
                    ),
                    administrator=replace(server, administrator=own.name, password=token, entra=True),
                    **({"roles": made["roles"]} if "roles" in made else {}),
                ),
            )
        except StepFailed as failed:
            if isinstance(failed.__cause__, Refused):
                raise StepFailed(
                    f"The database server {made['host']} does not let the broker's own Entra identity in. Update the "
                    "service instance that made it, which makes the broker its administrator; then bind again. "
                    f"(code {Refused.code}, operation {request_id(work)})",
                    retryable=failed.retryable,
                    at_most=failed.at_most,
                ) from failed
            raise

    async def _drop_login(self, work: Work, made: JsonObject) -> None:
        if made.get("begun") is False:
            return
        try:
            await self._drop_reachable_login(work, made)
        except StepFailed as failed:
            if not _goes_with_its_database(made, work.instance):
                raise
            log.info(
                "login left to go with its database", username=made["username"], error=failed.description
            )

    async def _drop_reachable_login(self, work: Work, made: JsonObject) -> None:
        try:
            server = databases.server_of(made, work.instance, work.parent, self._options)
        except Impossible:
            if made["server"] == "own" and _is_deleted(work.instance):
                # The login goes with the server, which is deleted as soon as its bindings are.
                return
            if await databases.is_there(self._arm, work, made["resource"]):
                raise
            return
        await databases.unless_gone(
            self._arm,
            work,
            made["resource"],
            engine(databases.kind_of(made)).drop_login(
                server, made["database"], username=made["username"], owner_role=made["owner_role"]
            ),
        )

    async def _act(self, work: Work, said: JsonObject, source: JsonObject) -> dict[str, Any]:
        """Post to a resource; what is picked from the answer is in the sealed credentials alone."""
        target = picked(said["resource"], source, "the resource")
        work.guard()
        answer = await from_azure(
            self._arm.action(
                target["id"], said["name"], target["api_version"], client_request_id=request_id(work)
            )
        )
        return picks_of(said, source, answer)

    def _source(self, recipe: Recipe, work: Work, binding: ServiceBinding) -> dict[str, Any]:
        return source_of(recipe.bind_defaults, work.instance, work.parent, binding, self._arm, self._options)


def source_of(
    defaults: JsonObject,
    instance: ServiceInstance,
    parent: ServiceInstance | None,
    binding: ServiceBinding,
    arm: Arm,
    options: ProvisionerOptions,
) -> dict[str, Any]:
    """Return what the expressions of a binding pick from, but for what was made."""
    record = instance.record
    return {
        "database": record.get("database") or {},
        "user": dict(binding.secrets),
        "outputs": record.get("outputs", {}),
        "names": record.get("names", {}),
        "record": record,
        "parent": parent.record if parent else {},
        "parameters": {**defaults, **binding.parameters},
        "binding": {"id": binding.binding_id},
        "azure": {"tenant_id": options.tenant_id, "token_scopes": dict(arm.cloud.token_scopes)},
    }


def known_of(binding: ServiceBinding) -> dict[str, Any]:
    """Return, by its word, what is known of each sub-resource without asking for it."""
    known = ("id", "name", "api_version")
    sealed = binding.secrets.get(SUB_RESOURCES_SEALED, {})
    return {
        made["word"]: {key: made[key] for key in known if key in made} | sealed.get(made["word"], {})
        for made in binding.record.get("made", ())
        if made["verb"] in SUB_RESOURCES and "word" in made
    }


def picks_of(said: JsonObject, source: JsonObject, answer: JsonObject) -> dict[str, Any]:
    """
    Pick from the answer of an action what its verb *said*.

    Raises:
        Impossible: It is not there.
    """
    return {
        word: picked(expression, {**source, "answer": answer}, f"'{word}'")
        for word, expression in said["pick"].items()
    }


def composed(verbs: Sequence[JsonObject], source: JsonObject) -> tuple[JsonObject, tuple[JsonObject, ...]]:
    """
    Put together credentials and endpoints as the last verb says. Pure.

    A credential that picks nothing is left out: a product that has no such endpoint has no such key.
    """
    said: JsonObject = next((verb["compose"] for verb in verbs if "compose" in verb), {"credentials": {}})
    credentials: dict[str, Any] = {}
    # What is made of other credentials comes after them; a database may have changed the order of the keys.
    for key, value in sorted(said["credentials"].items(), key=lambda item: _of_the_others(item[1])):
        found = _value(value, source, credentials)
        if found is not None:
            credentials[key] = found
    endpoints = tuple(
        {
            "host": pick(endpoint["host"], source),
            "ports": [str(pick(endpoint["port"], source))],
            "protocol": endpoint.get("protocol", "tcp"),
        }
        for endpoint in said.get("endpoints", ())
    )
    return credentials, endpoints


def _value(said: JsonObject, source: JsonObject, composed_before: JsonObject) -> Any:
    if "pick" in said:
        return pick(said["pick"], source)
    if "part" in said:
        return connection_strings.parts_of(str(picked(said["part"]["of"], source, "a URI"))).get(
            said["part"]["which"]
        )
    if "mongodb" in said:
        parts = {key: picked(expression, source, key) for key, expression in said["mongodb"].items()}
        return connection_strings.mongodb(**parts)
    if said.get("connection_string") == "redis_uri":
        host, port, password = (composed_before[key] for key in ("host", "port", "password"))
        return connection_strings.redis_uri(host, port, password)
    if _of_the_others(said):
        before = composed_before
        endpoints = {service: before[key] for service, key in ENDPOINT_KEYS.items() if key in before}
        secret = before["accessKey"] if "accessKey" in before else before["sasToken"]
        return connection_strings.azure_storage(before["storageAccountName"], secret, endpoints)
    if "connection_string" in said:
        database, user = source["database"], source["user"]
        access = DatabaseAccess(
            host=database["host"],
            port=database["port"],
            database=database["database"],
            username=user["username"],
            password=user.get("password"),
        )
        return STRINGS[databases.kind_of(database)][said["connection_string"]](access)
    return said["value"]


def _of_the_others(said: JsonObject) -> bool:
    return said.get("connection_string") in MADE_OF


def _login(
    work: Work, said: JsonObject, source: JsonObject, options: ProvisionerOptions, secret: dict[str, Any]
) -> JsonObject:
    """Draw a login, unless it was drawn before; its password, if it has one, goes into *secret*."""
    record = work.instance.record
    database = record.get("database")
    if not database:
        raise Impossible(
            f"The service instance '{work.instance.instance_id}' has no database yet. Wait until it is ready, "
            "then bind again."
        )
    longest = engine(databases.kind_of(database)).LONGEST_USERNAME
    secret.setdefault(
        "username", secrets.generated_username(LOGIN_PREFIX, _binding(work).key.hex, longest=longest)
    )
    entra = said.get("entra")
    if entra is None:
        secret.setdefault("password", secrets.generated_password())
    elif options.principal is None:
        raise Impossible(_NO_PRINCIPAL)
    elif _binding(work).expires_at is not None:
        raise Impossible(_NO_END, replace(NOT_POSSIBLE, never=True))
    server = record["above"] if database["server"] == "parent" else record["main"]
    return {
        "verb": DATABASE_USER,
        "kind": databases.kind_of(database),
        **{key: database[key] for key in ("host", "port", "database", "owner_role", "server")},
        "username": secret["username"],
        "resource": {"id": server["id"], "api_version": server["api_version"]},
        **({"roles": picked(said["roles"], source, "the roles")} if said.get("roles") else {}),
        **({"entra": _entra(entra, source)} if entra is not None else {}),
        **({"begun": False} if DATABASE_KINDS[databases.kind_of(database)].contained else {}),
    }


def _entra(said: JsonObject, source: JsonObject) -> JsonObject:
    kind = pick(said["principal_type"], source) if "principal_type" in said else None
    client = pick(said["client"], source) if "client" in said else None
    return {
        "principal": picked(said["principal"], source, "the principal"),
        "principal_type": kind or "ServicePrincipal",
        **({"client": client} if client else {}),
    }


def _goes_with_its_database(made: JsonObject, instance: ServiceInstance) -> bool:
    """Tell whether a login is a part of a database that is being deleted."""
    return _is_deleted(instance) and DATABASE_KINDS[databases.kind_of(made)].contained


def _is_deleted(instance: ServiceInstance) -> bool:
    """Tell whether what the instance stands for is being deleted with it; what was adopted may stay."""
    return instance.state is InstanceState.DELETING and (
        adopted_as(instance.record) is None or records.goes_with_its_instance(instance)
    )


def _binding(work: Work) -> ServiceBinding:
    if work.binding is None:
        raise ValueError("This step is about a binding and was given none.")
    return work.binding
