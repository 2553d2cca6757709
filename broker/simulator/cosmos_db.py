"""How Microsoft.DocumentDB behaves towards Resource Manager; accounts with keys, and no data behind them."""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, ClassVar
from urllib.parse import quote

from broker.simulator.arm_errors import ArmError
from broker.simulator.durations import Durations
from broker.simulator.kinds import Kind
from broker.simulator.resource_ids import ResourceId
from broker.simulator.state import Resource, State, location_name

ACCOUNTS = "Microsoft.DocumentDB/databaseAccounts"
ACCOUNT_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{1,42})[a-z0-9]")
SUFFIXES: Mapping[str, str] = {
    "public": "documents.azure.com",
    "china": "documents.azure.cn",
    "usgov": "documents.azure.us",
}
KEYS: Mapping[str, str] = {
    "primary": "primaryMasterKey",
    "secondary": "secondaryMasterKey",
    "primaryreadonly": "primaryReadonlyMasterKey",
    "secondaryreadonly": "secondaryReadonlyMasterKey",
}


KEY_KINDS: Mapping[str, str] = {
    "primaryMasterKey": "Primary",
    "secondaryMasterKey": "Secondary",
    "primaryReadonlyMasterKey": "PrimaryReadonly",
    "secondaryReadonlyMasterKey": "SecondaryReadonly",
}
MONGODB_SUFFIXES: Mapping[str, str] = {
    "public": "mongo.cosmos.azure.com",
    "china": "mongo.cosmos.azure.cn",
    "usgov": "mongo.cosmos.azure.us",
}
SERVERLESS = "EnableServerless"
GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def kinds(state: State, durations: Durations) -> list[Kind]:
    """The resource types of this provider."""
    return [
        DatabaseAccounts(state, durations),
        *(
            kind(state, durations, of=of)
            for kind in (Databases, ThroughputSettings)
            for of in ("sqlDatabases", "mongodbDatabases")
        ),
        MongodbUserDefinitions(state, durations),
        SqlRoleAssignments(state, durations),
    ]


class DatabaseAccounts(Kind):
    type = ACCOUNTS
    begun: ClassVar[Mapping[str, int]] = {"create": 200, "update": 200, "delete": 202}
    long_actions = frozenset({"regeneratekey"})

    def duration(self, what: str) -> timedelta:
        long = {"create": self.durations.cosmos_account, "delete": self.durations.cosmos_account / 2}
        return long.get(what, self.durations.cosmos_key if what == "action" else super().duration(what))

    def check_body(self, identity: ResourceId, body: Mapping[str, Any], existing: Resource | None) -> None:
        if not ACCOUNT_NAME.fullmatch(identity.name):
            raise ArmError(
                400,
                "BadRequest",
                f"Invalid account name '{identity.name}': 3 to 44 lower-case letters, digits and hyphens.",
            )
        for location in [body.get("location"), *_locations(body)]:
            if isinstance(location, str) and location_name(location) not in self.state.cloud.locations:
                raise ArmError(
                    400,
                    "LocationNotAvailableForResourceType",
                    f"The provided location '{location}' is not available for resource type '{ACCOUNTS}'.",
                )
        if len(_locations(body)) > 1 and SERVERLESS in _capabilities(body):
            raise _bad("A serverless account has one region.")
        if existing is not None and existing.made:
            self._check_change(existing.body, body)

    def _check_change(self, before: Mapping[str, Any], body: Mapping[str, Any]) -> None:
        was, wanted = before["properties"], body.get("properties") or {}
        if body.get("kind", before["kind"]) != before["kind"]:
            raise _bad("The kind of an account cannot be changed.")
        if (SERVERLESS in _capabilities(before)) != (SERVERLESS in _capabilities(body)):
            raise _bad("EnableServerless cannot be changed.")
        if _locations(before) != _locations(body):
            others = [key for key in wanted if key != "locations" and wanted[key] != was.get(key)]
            others += ["tags"] if (body.get("tags") or {}) != (before.get("tags") or {}) else []
            if others:
                raise _bad(
                    "Cannot add or remove regions and change other properties of an account at the same time: "
                    f"{', '.join(others)}."
                )

    def check_place(self, identity: ResourceId, existing: Resource | None) -> None:
        if existing is None and self.state.is_taken(ACCOUNTS, identity.name):
            raise ArmError(
                409, "DatabaseAccountAlreadyExists", f"The database account '{identity.name}' exists already."
            )

    def settled(
        self, identity: ResourceId, body: Mapping[str, Any], existing: Resource | None
    ) -> dict[str, Any]:
        settled = super().settled(identity, body, existing)
        suffix = SUFFIXES.get(self.state.cloud.name, "documents.simulated.invalid")
        endpoint = f"https://{identity.name}.{suffix}:443/"
        settled["properties"] = {**settled["properties"], "documentEndpoint": endpoint}
        settled.setdefault("kind", "GlobalDocumentDB")
        return settled

    async def apply(self, resource: Resource, sent: Mapping[str, Any], *, created: bool) -> None:
        del sent
        if created:
            self.state.access_keys[resource.id.key] = _keys()

    async def remove(self, resource: Resource) -> None:
        self.state.access_keys.pop(resource.id.key, None)

    def check_action(self, resource: Resource, name: str, body: Mapping[str, Any] | None) -> None:
        del resource
        if name == "regeneratekey" and _kind_of_key(body) is None:
            raise ArmError(
                400, "BadRequest", "keyKind must be primary, secondary, primaryReadonly or secondaryReadonly."
            )

    def action(self, resource: Resource, name: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        keys = self.state.access_keys.setdefault(resource.id.key, _keys())
        which = _kind_of_key(body)
        if name == "listkeys":
            return dict(keys)
        if name == "readonlykeys":
            return {key: value for key, value in keys.items() if "Readonly" in key}
        if name == "listconnectionstrings":
            return {"connectionStrings": list(self._connection_strings(resource, keys))}
        if name == "regeneratekey" and which is not None:
            keys[which] = _new_key()
            return {}
        return super().action(resource, name, body)

    def _connection_strings(self, resource: Resource, keys: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        account, mongodb = resource.id.name, resource.body["kind"] == "MongoDB"
        endpoint = resource.body["properties"]["documentEndpoint"]
        suffix = MONGODB_SUFFIXES.get(self.state.cloud.name, "mongo.cosmos.simulated.invalid")
        options = f"ssl=true&replicaSet=globaldb&retrywrites=false&maxIdleTimeMS=120000&appName=@{account}@"
        for key, value in keys.items():
            sql = f"AccountEndpoint={endpoint};AccountKey={value};"
            yield {
                "connectionString": f"mongodb://{account}:{quote(value, safe='')}@{account}.{suffix}:10255/?{options}"
                if mongodb
                else sql,
                "description": key,
                "keyKind": KEY_KINDS[key],
                "type": "MongoDB" if mongodb else "Sql",
            }


class OfAccount(Kind):
    """What stands in an account of the one kind; Azure answers 202 and works for a while."""

    begun: ClassVar[Mapping[str, int]] = {"create": 202, "update": 202, "delete": 202}
    account_kind = "GlobalDocumentDB"

    def account(self, identity: ResourceId) -> Resource | None:
        return self.state.resources.get(list(identity.ancestors())[-1].key)

    def check_place(self, identity: ResourceId, existing: Resource | None) -> None:
        del existing
        account = self.account(identity)
        if account is not None and account.body["kind"] != self.account_kind:
            raise _bad(f"'{account.id.name}' is no account of the kind {self.account_kind}.")


class Databases(OfAccount):
    def __init__(self, state: State, durations: Durations, *, of: str) -> None:
        super().__init__(state, durations)
        self.type = f"{ACCOUNTS}/{of}"
        self.account_kind = "MongoDB" if of == "mongodbDatabases" else "GlobalDocumentDB"

    def check_body(self, identity: ResourceId, body: Mapping[str, Any], existing: Resource | None) -> None:
        del existing
        properties = body.get("properties") or {}
        name = (properties.get("resource") or {}).get("id")
        if isinstance(name, str) and name != identity.name:
            raise _bad(f"The resource id '{name}' is not the name '{identity.name}'.")
        _check_throughput(properties.get("options") or {})

    def settled(
        self, identity: ResourceId, body: Mapping[str, Any], existing: Resource | None
    ) -> dict[str, Any]:
        settled = super().settled(identity, body, existing)
        options = settled["properties"].get("options") or {}
        account = self.account(identity)
        if options and account is not None and SERVERLESS in _capabilities(account.body):
            raise _bad("Setting offer throughput or autopilot is not supported for serverless accounts.")
        # Throughput is given to a database when it is created; afterwards its settings alone change it.
        settled["properties"]["options"] = existing.body["properties"]["options"] if existing else options
        return settled


class ThroughputSettings(OfAccount):
    """The throughput of a database that was created with one: it is there from then on, and is only changed."""

    deletable = False

    def __init__(self, state: State, durations: Durations, *, of: str) -> None:
        super().__init__(state, durations)
        self.type = f"{ACCOUNTS}/{of}/throughputSettings"
        self.account_kind = "MongoDB" if of == "mongodbDatabases" else "GlobalDocumentDB"

    def check_body(self, identity: ResourceId, body: Mapping[str, Any], existing: Resource | None) -> None:
        del identity, existing
        _check_throughput((body.get("properties") or {}).get("resource") or {})

    def absent(self, identity: ResourceId) -> dict[str, Any] | None:
        parent = identity.parent
        database = self.state.resources.get(parent.key) if parent else None
        options = database.body["properties"].get("options") if database else None
        return {"properties": {"resource": dict(options)}} if options and identity.name == "default" else None

    def settled(
        self, identity: ResourceId, body: Mapping[str, Any], existing: Resource | None
    ) -> dict[str, Any]:
        before = existing.body if existing else self.absent(identity)
        if before is None:
            raise ArmError(
                404, "NotFound", "This database has no throughput of its own that could be changed."
            )
        wanted = body["properties"]["resource"]
        if set(wanted) != set(before["properties"]["resource"]):
            raise _bad("Throughput is moved from manual to autoscale and back by a migration alone.")
        return super().settled(identity, body, existing)


class MongodbUserDefinitions(OfAccount):
    type = f"{ACCOUNTS}/mongodbUserDefinitions"
    account_kind = "MongoDB"
    unseen_until_made = True

    def check_body(self, identity: ResourceId, body: Mapping[str, Any], existing: Resource | None) -> None:
        del existing
        said = body.get("properties") or {}
        if identity.name != f"{said.get('databaseName')}.{said.get('userName')}":
            raise _bad(f"'{identity.name}' is not the database's name, a dot and the user's name.")
        if not said.get("password") or not said.get("roles"):
            raise _bad("A user has a password and roles.")
        if said.get("mechanisms") != "SCRAM-SHA-256":
            raise _bad("The one mechanism is SCRAM-SHA-256.")

    def check_place(self, identity: ResourceId, existing: Resource | None) -> None:
        super().check_place(identity, existing)
        account = self.account(identity)
        if account is not None and "EnableMongoRoleBasedAccessControl" not in _capabilities(account.body):
            raise _bad("Role based access control is not enabled for this account.")

    def settled(
        self, identity: ResourceId, body: Mapping[str, Any], existing: Resource | None
    ) -> dict[str, Any]:
        settled = super().settled(identity, body, existing)
        settled["properties"].pop("password", None)
        return settled

    def shown(self, resource: Resource) -> dict[str, Any]:
        return dict(resource.body)

    async def apply(self, resource: Resource, sent: Mapping[str, Any], *, created: bool) -> None:
        del created
        self.state.access_keys[resource.id.key] = {"password": sent["properties"]["password"]}

    async def remove(self, resource: Resource) -> None:
        self.state.access_keys.pop(resource.id.key, None)


class SqlRoleAssignments(OfAccount):
    """Who may do what with the data of an account; Azure's own roles end with 1 (read) and 2 (read and write)."""

    type = f"{ACCOUNTS}/sqlRoleAssignments"
    unseen_until_made = True

    def check_body(self, identity: ResourceId, body: Mapping[str, Any], existing: Resource | None) -> None:
        del existing
        said, account = body.get("properties") or {}, str(identity.parent)
        if not GUID.fullmatch(identity.name) or not GUID.fullmatch(str(said.get("principalId"))):
            raise _bad("The name of a role assignment and its principal are GUIDs.")
        definition = str(said.get("roleDefinitionId"))
        if not definition.lower().startswith(f"{account}/sqlRoleDefinitions/".lower()):
            raise _bad(f"'{definition}' is no role definition of this account.")
        scope = str(said.get("scope")).lower()
        if scope != account.lower() and not scope.startswith(f"{account}/dbs/".lower()):
            raise _bad(f"The scope '{said.get('scope')}' is not in this account.")

    def shown(self, resource: Resource) -> dict[str, Any]:
        return dict(resource.body)


def _check_throughput(said: Mapping[str, Any]) -> None:
    manual, most = said.get("throughput"), (said.get("autoscaleSettings") or {}).get("maxThroughput")
    if isinstance(manual, int) and (manual < 400 or manual % 100):
        raise _bad(f"A throughput of {manual} is not possible: 400 or more, in steps of 100.")
    if isinstance(most, int) and (most < 1000 or most % 1000):
        raise _bad(f"A highest throughput of {most} is not possible: 1000 or more, in steps of 1000.")


def _bad(message: str) -> ArmError:
    return ArmError(400, "BadRequest", message)


def _capabilities(body: Mapping[str, Any]) -> set[str]:
    listed = (body.get("properties") or {}).get("capabilities")
    each = listed if isinstance(listed, list) else []
    return {str(one.get("name")) for one in each if isinstance(one, Mapping)}


def _locations(body: Mapping[str, Any]) -> list[Any]:
    listed = (body.get("properties") or {}).get("locations")
    each = listed if isinstance(listed, list) else []
    return [location.get("locationName") for location in each if isinstance(location, Mapping)]


def _kind_of_key(body: Mapping[str, Any] | None) -> str | None:
    return KEYS.get(str((body or {}).get("keyKind", "")).lower())


def _new_key() -> str:
    return base64.b64encode(secrets.token_bytes(64)).decode()


def _keys() -> dict[str, str]:
    return {name: _new_key() for name in KEYS.values()}
