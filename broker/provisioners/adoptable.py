"""What is looked at before something is adopted, and again later: in Azure, and in a database server. Reads only."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from broker.azure import naming
from broker.azure.arm import Arm
from broker.azure.permissions import missing_actions
from broker.azure.resource_ids import ResourceId
from broker.data_planes.base import DataPlaneFailure, Server, ServerGone, Unreachable
from broker.data_planes.base import Refused as PasswordRefused
from broker.data_planes.engines import engine
from broker.domain.adoption import MODE
from broker.domain.json_values import JsonObject
from broker.provisioners import adoption, databases, records
from broker.provisioners.adoption import Wanted
from broker.provisioners.base import Work
from broker.provisioners.options import ProvisionerOptions
from broker.provisioners.parameters import template_parameters
from broker.provisioners.preflight import Refused, asked
from broker.provisioners.recipe import Recipe, pick
from broker.provisioners.settling import asked_of, known_of
from broker.provisioners.verdicts import UNUSABLE, Contradiction, from_azure, of_data_plane, request_id

T = TypeVar("T")
_TAGS_WRITE = "Microsoft.Resources/tags/write"
_NOT_YET = frozenset({"creating", "provisioning", "accepted"})
_MOST_TOLD = 10
"""How many of a resource's differences from its plan a sentence names."""


class Ask(Protocol):
    """Awaits a call to Azure, and says what its failure means."""

    def __call__(self, work: Work, call: Awaitable[T]) -> Awaitable[T]: ...


@dataclass(frozen=True)
class Seen:
    """A resource that can be adopted, as it is; `lives` are the bodies of what the plan's template makes, by type."""

    wanted: Wanted
    body: JsonObject
    lives: dict[str, JsonObject]
    record: dict[str, Any]
    secrets: dict[str, Any]
    source: JsonObject
    """What the expressions of `adopt` picked from."""


class Adoptables:
    """Looks at what exists; each look is short and changes nothing."""

    def __init__(self, arm: Arm, options: ProvisionerOptions) -> None:
        self._arm = arm
        self._options = options

    async def seen(self, work: Work, wanted: Wanted, ask: Ask) -> Seen:
        """
        Look at what is to be adopted.

        Raises:
            Refused: It is not there, not fit, or somebody's already.
        """
        recipe = Recipe.of(work.operation)
        version = str(recipe.resources[0]["api_version"])
        live = await self.live(work, {"id": str(wanted.id), "api_version": version}, ask)
        if live is None:
            raise Refused(
                "ResourceMissing",
                f"There is no {records.shown(str(wanted.id))} in the resource group '{wanted.id.group}', or the "
                "broker's identity may not see it. Give the id of one that is there.",
                never=True,
            )
        source = await self.source(work, recipe, wanted, live, ask)
        require(recipe, source, live, wanted)
        tags = self._tags(work, wanted)
        self._refuse_owned(live, tags, wanted)
        record = self._record(work, recipe, wanted, live, source, tags)
        lives: dict[str, JsonObject] = {}
        if wanted.manages:
            lives = await self.lives(work, recipe, live, source, ask)
            given = asked_of(work).parameters
            kept = adoption.kept_of(recipe, given, lives, self._options.egress_addresses, source)
            if wrong := adoption.misfits(recipe, kept, lives, source):
                raise Refused(
                    "PlanDoesNotFit",
                    f"{records.shown(str(wanted.id))} is not as this plan has it: {'; '.join(wrong[:_MOST_TOLD])}. "
                    "Adopt it under a plan that fits, or by bind-only.",
                    never=True,
                )
            record[records.KEPT] = kept
        secrets = {**asked_of(work).secrets, **adoption.secrets_of(recipe, source)}
        return Seen(wanted, live, lives, record, secrets, source)

    async def source(
        self, work: Work, recipe: Recipe, wanted: Wanted, live: JsonObject, ask: Ask
    ) -> JsonObject:
        """
        Return what expressions pick from, with what is below the resource.

        Raises:
            Refused: What users gave cannot be the name of something below it.
        """
        parent = work.parent.record if work.parent else {}
        given = {**asked_of(work).parameters, MODE: wanted.mode.value}
        source = adoption.source_of(recipe, wanted.id, live, given, parent)
        try:
            looked_for = adoption.below_of(recipe, wanted.id, source)
        except Contradiction as wrong:
            raise Refused("NotFit", str(wrong), never=True) from None
        below = {word: await self.live(work, one, ask) for word, one in looked_for.items()}
        return {**source, "below": below}

    def _tags(self, work: Work, wanted: Wanted) -> dict[str, str]:
        if not wanted.manages or not Recipe.of(work.operation).resources[0].get("tagged"):
            return {}
        instance = work.instance
        identity = (self._options.broker_id, instance.platform, instance.instance_id, instance.generation)
        return {**naming.tags(*identity), naming.ADOPTED_TAG: wanted.mode.value}

    def _refuse_owned(self, live: JsonObject, tags: JsonObject, wanted: Wanted) -> None:
        """Refuse what carries a broker's tags, unless an earlier try of this very order has set them."""
        found = {name.lower(): str(value) for name, value in (live.get("tags") or {}).items()}
        if naming.BROKER_TAG not in found:
            return
        mine = (naming.BROKER_TAG, naming.PLATFORM_TAG, naming.INSTANCE_TAG)
        if naming.ADOPTED_TAG in found and tags and all(found.get(name) == tags[name] for name in mine):
            return
        whose = "this broker" if found[naming.BROKER_TAG] == self._options.broker_id else "another broker"
        raise Refused(
            "AlreadyManaged",
            f"{records.shown(str(wanted.id))} carries the tags of a service instance of {whose}. Use that one, or let "
            "an operator take the tags off if it is gone.",
        )

    def _record(
        self,
        work: Work,
        recipe: Recipe,
        wanted: Wanted,
        live: JsonObject,
        source: JsonObject,
        tags: dict[str, str],
    ) -> dict[str, Any]:
        instance, found = work.instance, wanted.id
        generation = instance.generation
        derived = recipe.names(self._options.broker_id, instance.platform, instance.instance_id, generation)
        parent = work.parent.record if work.parent else {}
        record: dict[str, Any] = {
            "format": 1,
            "generation": generation,
            "subscription": found.subscription,
            "group": found.group,
            "location": adoption.plain(str(live.get("location") or parent.get("location") or "")),
            "names": adoption.names_of(recipe, derived, source),
            "tags": tags,
            "main": {
                "id": _canonical(live, found),
                "api_version": recipe.resources[0]["api_version"],
                "tagged": bool(tags),
            },
            "above": records.above_of(work.parent),
            "deployments": [],
            "outputs": adoption.outputs_of(recipe, source),
            **adoption.recorded(wanted),
        }
        record["database"] = databases.described(recipe, record, record["outputs"])
        return record

    async def live(self, work: Work, main: JsonObject, ask: Ask) -> JsonObject | None:
        work.guard()
        return await ask(
            work, self._arm.get_resource(main["id"], main["api_version"], client_request_id=request_id(work))
        )

    async def lives(
        self, work: Work, recipe: Recipe, live: JsonObject, source: JsonObject, ask: Ask
    ) -> dict[str, JsonObject]:
        """Return the bodies of all that the template makes once, by type, as far as they are there."""
        main_type = str(recipe.resources[0]["type"])
        lives = {main_type: live}
        for word, said in (recipe.adopt or {}).get("below", {}).items():
            if (there := source["below"].get(word)) is not None:
                lives[str(said["type"])] = there
        top = str(live["id"])
        for body in recipe.template["resources"]:
            kind = str(body["type"])
            if kind in lives or "copy" in body:
                continue
            # Only what stands right below it under a name that the template itself has.
            last = adoption.last_name(str(body["name"]))
            if last is None or kind.rpartition("/")[0] != main_type:
                continue
            child = {"id": f"{top}/{kind.rpartition('/')[2]}/{last}", "api_version": body["apiVersion"]}
            found = await self.live(work, child, ask)
            if found is not None:
                lives[kind] = found
        return lives

    async def check_permissions(self, work: Work, wanted: Wanted) -> None:
        kind = wanted.id.type
        needed = [f"{kind}/read"]
        if wanted.manages:
            needed += [f"{kind}/write", _TAGS_WRITE]
        if wanted.deletes:
            needed.append(f"{kind}/delete")
        try:
            granted = await asked(
                work,
                self._arm.permissions(
                    str(wanted.id.subscription), wanted.id.group, client_request_id=request_id(work)
                ),
            )
        except Refused:
            return  # What cannot be read is found out by trying.
        if missing := missing_actions(granted, needed):
            raise Refused(
                "PermissionMissing",
                f"The broker's identity may not do on the resource group '{wanted.id.group}': {', '.join(missing)}. An "
                "operator has to grant it these permissions.",
            )

    async def sign_in(self, work: Work, seen: Seen) -> None:
        """
        See that the administrator of an adopted server can sign in, from where the broker is.

        Raises:
            Refused: The server does not accept the name and the password, or cannot be reached.
        """
        said = (Recipe.of(work.operation).adopt or {}).get("administrator")
        if said is None:
            return
        host = pick(said["host"], seen.source)
        server = Server(
            host=str(host),
            port=said["port"],
            administrator=str(seen.secrets["administrator_login"]),
            password=str(seen.secrets["administrator_password"]),
            ca_file=self._options.data_plane_ca_file,
        )
        work.guard()
        try:
            await engine(said["kind"]).check_administrator(server)
        except PasswordRefused as failure:
            raise Refused(
                "SignInRefused",
                f"The database server {server.host} refuses the administrator's name and password that were given. "
                "Give the right ones.",
            ) from failure
        except (ServerGone, Unreachable) as failure:
            if work.operation.dry_run or work.operation.phase != "":
                raise Refused(
                    "ServerUnreachable",
                    f"The broker cannot reach the database server {server.host}. Its firewall has to let in the "
                    "broker's own addresses; it is not the broker that may open it.",
                ) from failure
            raise of_data_plane(failure, work) from failure
        except DataPlaneFailure as failure:
            raise of_data_plane(failure, work) from failure

    def foretold(self, work: Work, seen: Seen) -> str:
        """Say what adopting it, and the first update after that, would change."""
        if not seen.wanted.manages:
            return "Nothing of it would ever be changed."
        recipe = Recipe.of(work.operation)
        known = known_of(self._options, seen.record, seen.secrets, work.parent)
        parameters = template_parameters(recipe, asked_of(work).parameters, known)
        changes, untold = adoption.differences(recipe, parameters, seen.lives)
        said = "It would get the broker's tags now. " if seen.record["main"]["tagged"] else ""
        said += (
            f"The next update would change {'; '.join(changes[:_MOST_TOLD])}."
            if changes
            else "The next update would change nothing else of what can be compared."
        )
        if untold:
            said += f" Computed from several parameters, and not compared: {', '.join(untold[:_MOST_TOLD])}."
        return said


async def patiently(work: Work, call: Awaitable[T]) -> T:
    work.guard()
    return await from_azure(call)


def require(recipe: Recipe, source: JsonObject, live: JsonObject, wanted: Wanted) -> None:
    properties = live.get("properties") or {}
    states = {str(properties.get(key, "")) for key in ("state", "provisioningState")}
    if broken := sorted(state for state in states if state.lower() in UNUSABLE | _NOT_YET):
        raise Refused(
            "NotReady",
            f"{records.shown(str(wanted.id))} cannot be used now: Azure says '{', '.join(broken)}' of it. Try again "
            "when it is ready.",
        )
    for said in (recipe.adopt or {}).get("require", ()):
        if not pick(said["that"], source):
            raise Refused("NotFit", said["otherwise"], never=True)
    place = recipe.placement.get("location")
    if (
        place is not None
        and live.get("location")
        and adoption.plain(str(live["location"])) != adoption.plain(place)
    ):
        raise Refused(
            "RegionNotOffered",
            f"{records.shown(str(wanted.id))} is in {live['location']}, and this plan is for {place}.",
            never=True,
        )


def _canonical(live: JsonObject, found: ResourceId) -> str:
    """Return the id as Azure spells it."""
    spelt = str(live.get("id") or "")
    return spelt if spelt.lower() == found.key else str(found)
