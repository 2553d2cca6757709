"""Looking at all that the broker has in Azure, for the inventory: reads only."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

from broker.azure import naming
from broker.azure.arm import Arm
from broker.azure.distilling import JsonObject
from broker.azure.resource_ids import parse
from broker.domain.inventory import Tagged
from broker.provisioners.base import StepFailed
from broker.provisioners.options import ProvisionerOptions
from broker.provisioners.records import GROUP_API_VERSION, is_group
from broker.provisioners.verdicts import from_azure

_GROUP_TYPE = "Microsoft.Resources/resourceGroups"


class Survey:
    """
    Asks Azure what is there, one call or list at a time.

    Every method raises `StepFailed` when Azure cannot tell; that is never taken for "it is not there".
    """

    def __init__(self, arm: Arm, options: ProvisionerOptions) -> None:
        self._arm = arm
        self._options = options
        self._versions: dict[str, dict[str, str]] = {}

    @property
    def subscription(self) -> str:
        """The subscription of plans that name none."""
        return self._options.subscription

    async def tagged(self, subscription: str) -> list[Tagged]:
        """Return all resources, and all groups made for one instance alone, that carry this broker's four tags."""
        mine = naming.tags(self._options.broker_id, "", "", 0)
        wanted = {naming.BROKER_TAG: mine[naming.BROKER_TAG]}
        resources = await from_azure(
            self._arm.resources_by_tags(subscription, wanted, client_request_id=str(uuid4()))
        )
        groups = await from_azure(
            self._arm.groups_by_tags(subscription, wanted, client_request_id=str(uuid4()))
        )
        found = (_tagged(one) for one in (*resources, *groups))
        return [one for one in found if one is not None]

    async def api_version(self, tagged: Tagged) -> str:
        """Return the api-version to read and delete a resource at: the provider's newest that is no preview."""
        if is_group(tagged.resource_id):
            return GROUP_API_VERSION
        parsed = parse(tagged.resource_id)
        namespace = parsed.namespace.lower()
        if namespace not in self._versions:
            subscription = parsed.subscription or self._options.subscription
            provider = await from_azure(
                self._arm.provider(subscription, parsed.namespace, client_request_id=str(uuid4()))
            )
            self._versions[namespace] = {
                f"{namespace}/{kind['resourceType']}".lower(): _newest(kind.get("apiVersions") or ())
                for kind in provider.get("resourceTypes") or ()
            }
        version = self._versions[namespace].get(parsed.type.lower(), "")
        if not version:
            raise StepFailed(
                f"Azure names no api-version of '{parsed.type}'. An operator has to look at it there.",
                retryable=False,
            )
        return version

    async def find(self, resource_id: str, api_version: str) -> JsonObject | None:
        """Return a resource or group as it is, or None when Azure says that it is not there."""
        if is_group(resource_id):
            _, _, subscription, _, group = resource_id.split("/")
            return await from_azure(self._arm.get_group(subscription, group, client_request_id=str(uuid4())))
        return await from_azure(
            self._arm.get_resource(resource_id, api_version, client_request_id=str(uuid4()))
        )

    async def is_still(self, tagged: Tagged, api_version: str) -> bool:
        """Tell whether what a list has shown is there, and its tags are what the list said: lists are often late."""
        found = await self.find(tagged.resource_id, api_version)
        return found is not None and naming.is_ours(found.get("tags"), tagged.tags)


def _tagged(resource: JsonObject) -> Tagged | None:
    """Read one of a list; what lacks one of the four tags is not ours, and what was adopted is never a stray."""
    lowered = {name.lower(): str(value) for name, value in (resource.get("tags") or {}).items()}
    names = (naming.BROKER_TAG, naming.PLATFORM_TAG, naming.INSTANCE_TAG, naming.GENERATION_TAG)
    if not all(name in lowered for name in names) or naming.ADOPTED_TAG in lowered:
        return None
    return Tagged(
        resource_id=str(resource["id"]),
        type=str(resource.get("type") or _GROUP_TYPE),
        tags={name: lowered[name] for name in names},
        platform=lowered[naming.PLATFORM_TAG],
        instance_id=lowered[naming.INSTANCE_TAG],
        generation=lowered[naming.GENERATION_TAG],
        location=str(resource.get("location") or ""),
    )


def _newest(versions: object) -> str:
    known = sorted(str(version) for version in versions) if isinstance(versions, list | tuple) else []
    stable = [version for version in known if not version.endswith("-preview")]
    return (stable or known or [""])[-1]


PACE = timedelta(milliseconds=200)
"""How long to wait between single reads: a fifth of what Azure allows, so that nothing else goes short."""
