"""Azure Resource Manager: resources, groups and deployments, one HTTP call each and none repeated."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from typing import Any

import httpx
from azure.core.credentials_async import AsyncTokenCredential

from broker.azure import deployments
from broker.azure.api_versions import ApiVersions
from broker.azure.authentication import object_id, token
from broker.azure.calls import Answer, Call, Caller, Trace, no_trace
from broker.azure.clouds import Cloud
from broker.azure.deployments import Deployment, deployment_from
from broker.azure.distilling import JsonObject
from broker.azure.failures import (
    AzureFailure,
    NotFound,
    TransientConflict,
    UnknownFailure,
    failure_from_error,
    retry_after_of,
)
from broker.azure.resource_ids import group_id, parse

API_VERSIONS: Mapping[str, str] = {
    "Microsoft.Resources/deployments": "2025-04-01",
    "Microsoft.Resources/resourceGroups": "2025-04-01",
    "Microsoft.Resources/resources": "2025-04-01",
    "Microsoft.Resources/providers": "2025-04-01",
    "Microsoft.Resources/tags": "2025-04-01",
    "Microsoft.Resources/locations": "2022-12-01",
    "Microsoft.Authorization/permissions": "2022-04-01",
    "Microsoft.Authorization/roleAssignments": "2022-04-01",
}
"""The api-versions of what the broker itself asks for; a cloud that lags may be given others."""

ABSENT_CODES = frozenset({"parentresourcenotfound"})
"""Codes that also mean "it is not there" when a resource is read or deleted, though no status says so."""

MAX_NESTED_DEPLOYMENTS = 10


class Arm:
    """
    The Resource Manager of one cloud, for all subscriptions.

    Every method is short and sends what it sends once; all take a `client_request_id`, which Azure's support can
    find again, last *limit* at most, and raise `AzureFailure`. Nothing is remembered between calls but the token
    and open connections. The client belongs to whoever made it. *api_versions*, by resource type, win over what
    callers and templates ask for: a cloud may lag.
    """

    def __init__(
        self,
        *,
        cloud: Cloud,
        credential: AsyncTokenCredential,
        client: httpx.AsyncClient,
        api_versions: Mapping[str, str] | None = None,
        on_call: Callable[[Call], None] | None = None,
        trace: Trace = no_trace,
        user_agent: str = "azure-service-broker",
        limit: timedelta = timedelta(seconds=45),
    ) -> None:
        self.cloud = cloud
        self._credential = credential
        self._versions = ApiVersions(api_versions)
        self._api_versions = {
            kind: self._versions.of_type(kind, pinned) for kind, pinned in API_VERSIONS.items()
        }
        self._caller = Caller(
            cloud=cloud,
            credential=credential,
            client=client,
            user_agent=user_agent,
            on_call=on_call,
            limit=limit,
            api_versions=self._versions,
            trace=trace,
        )

    def api_version(self, resource_type: str) -> str:
        """Return the api-version at which this cloud is asked for one of the types in `API_VERSIONS`."""
        return self._api_versions[resource_type]

    async def token(self, scope: str) -> str:
        """
        Return a token of the broker's identity for something else than Azure Resource Manager, such as a database.

        Raises:
            TokenRefused: The issuer refused, or the token's file cannot be read.
            NotSent: The issuer could not be reached.
        """
        return await token(self._credential, scope)

    # Resources

    async def get_resource(
        self, resource_id: str, api_version: str, *, client_request_id: str
    ) -> JsonObject | None:
        """Return a resource, or None when it, its parent or its group is not there."""
        answer = await self._if_there("GET", resource_id, api_version, client_request_id, accept=(200,))
        return answer.object if answer is not None else None

    async def put_resource(
        self,
        resource_id: str,
        api_version: str,
        body: JsonObject,
        *,
        client_request_id: str,
        secrets: Collection[str] = (),
    ) -> JsonObject:
        """
        Create or replace a resource and return what Azure made of it so far; look again for how it ended.

        None of *secrets* comes back in a failure's message.
        """
        answer = await self._caller.call(
            "PUT",
            resource_id,
            api_version,
            client_request_id=client_request_id,
            body=body,
            accept=(200, 201, 202),
            secrets=secrets,
        )
        return answer.object

    async def listed(self, path: str, api_version: str, *, client_request_id: str) -> list[JsonObject]:
        """Return all that is at the path of a list, page after page."""
        pages = self._caller.pages(path, api_version, client_request_id=client_request_id)
        return [one async for one in pages]

    async def delete_resource(self, resource_id: str, api_version: str, *, client_request_id: str) -> None:
        """Ask for a resource to be deleted; it is gone when `get_resource` says so. What is gone is no error."""
        await self._if_there("DELETE", resource_id, api_version, client_request_id, accept=(200, 202, 204))

    async def action(
        self,
        resource_id: str,
        action: str,
        api_version: str,
        body: JsonObject | None = None,
        *,
        client_request_id: str,
        secrets: Collection[str] = (),
    ) -> JsonObject:
        """
        Post to a resource, such as `listKeys`, and return the answer, which may hold secrets.

        Raises:
            UnknownFailure: The action takes long; only quick ones are served.
        """
        answer = await self._caller.call(
            "POST",
            f"{resource_id}/{action}",
            api_version,
            client_request_id=client_request_id,
            body=body,
            accept=(200, 201, 202, 204),
            secrets=secrets,
        )
        if answer.status == 202:
            raise UnknownFailure(f"Azure takes long over {action}", code="long-action", status=202)
        return answer.object

    async def begin_action(
        self, resource_id: str, action: str, api_version: str, *, client_request_id: str
    ) -> None:
        """Post to a resource what may take long, such as `purge`; look at the resource for how it ended."""
        await self._if_there(
            "POST", f"{resource_id}/{action}", api_version, client_request_id, accept=(200, 202, 204)
        )

    async def resources_by_tags(
        self, subscription: str, tags: Mapping[str, str], *, client_request_id: str
    ) -> list[JsonObject]:
        """
        Return id, type, tags and location of the resources of a subscription that carry all of *tags*.

        Azure filters by one tag (the longest value, as the rarest), the rest is done here. New tags take a
        while to be found.
        """
        found = self._caller.pages(
            f"/subscriptions/{subscription}/resources",
            self._api_versions["Microsoft.Resources/resources"],
            client_request_id=client_request_id,
            query={"$filter": _filter_of(tags)},
        )
        return [resource async for resource in found if _carries(resource, tags)]

    async def merge_tags(self, resource_id: str, tags: Mapping[str, str], *, client_request_id: str) -> None:
        """Set these tags on a resource; its others, and the resource itself, stay as they are."""
        await self._change_tags(resource_id, "Merge", tags, client_request_id)

    async def remove_tags(self, resource_id: str, tags: Mapping[str, str], *, client_request_id: str) -> None:
        """Take these tags off a resource where they have these values; what is not there is no error."""
        await self._change_tags(resource_id, "Delete", tags, client_request_id)

    async def _change_tags(
        self, resource_id: str, operation: str, tags: Mapping[str, str], client_request_id: str
    ) -> None:
        await self._caller.call(
            "PATCH",
            f"{resource_id}/providers/Microsoft.Resources/tags/default",
            self._api_versions["Microsoft.Resources/tags"],
            client_request_id=client_request_id,
            body={"operation": operation, "properties": {"tags": dict(tags)}},
            accept=(200, 202),
        )

    # Resource groups

    async def get_group(self, subscription: str, group: str, *, client_request_id: str) -> JsonObject | None:
        """Return a resource group, or None when it is not there."""
        version = self._api_versions["Microsoft.Resources/resourceGroups"]
        answer = await self._if_there(
            "GET", group_id(subscription, group), version, client_request_id, accept=(200,)
        )
        return answer.object if answer is not None else None

    async def put_group(
        self, subscription: str, group: str, location: str, tags: Mapping[str, str], *, client_request_id: str
    ) -> JsonObject:
        """Create a resource group, or set the tags of one that is there already in the same location."""
        answer = await self._caller.call(
            "PUT",
            group_id(subscription, group),
            self._api_versions["Microsoft.Resources/resourceGroups"],
            client_request_id=client_request_id,
            body={"location": location, "tags": dict(tags)},
            accept=(200, 201),
        )
        return answer.object

    async def groups_by_tags(
        self, subscription: str, tags: Mapping[str, str], *, client_request_id: str
    ) -> list[JsonObject]:
        """Return the resource groups of a subscription that carry all of *tags*; see `resources_by_tags`."""
        found = self._caller.pages(
            f"/subscriptions/{subscription}/resourcegroups",
            self._api_versions["Microsoft.Resources/resourceGroups"],
            client_request_id=client_request_id,
            query={"$filter": _filter_of(tags)},
        )
        return [group async for group in found if _carries(group, tags)]

    async def delete_group(self, subscription: str, group: str, *, client_request_id: str) -> None:
        """Ask for a group and all that is in it to be deleted; gone when `get_group` says so."""
        version = self._api_versions["Microsoft.Resources/resourceGroups"]
        path = group_id(subscription, group)
        await self._if_there("DELETE", path, version, client_request_id, accept=(200, 202, 204))

    async def group_resources(
        self, subscription: str, group: str, *, client_request_id: str
    ) -> list[JsonObject]:
        """Return id, type, tags and location of what is in a group; empty when the group is not there."""
        found = self._caller.pages(
            f"{group_id(subscription, group)}/resources",
            self._api_versions["Microsoft.Resources/resources"],
            client_request_id=client_request_id,
        )
        try:
            return [resource async for resource in found]
        except NotFound as failure:
            if _is_absence(failure):
                return []
            raise

    # Deployments

    async def get_deployment(
        self, subscription: str, group: str, name: str, *, client_request_id: str
    ) -> Deployment | None:
        """Return a deployment, or None when it is not (or, since Azure prunes its history, no longer) there."""
        answer = await self._if_there(
            "GET", _deployment(subscription, group, name), self._deployments, client_request_id, accept=(200,)
        )
        return _told(answer, name) if answer is not None else None

    async def put_deployment(
        self,
        subscription: str,
        group: str,
        name: str,
        template: JsonObject,
        parameters: Mapping[str, Any],
        *,
        tags: Mapping[str, str] | None = None,
        client_request_id: str,
    ) -> Deployment:
        """
        Start a deployment, incremental and never complete.

        *parameters* are plain values. That a deployment of this very name runs already means that an earlier
        request was accepted: the state is then "Accepted".
        """
        try:
            answer = await self._caller.call(
                "PUT",
                _deployment(subscription, group, name),
                self._deployments,
                client_request_id=client_request_id,
                body=deployments.request_body(self._versions.in_template(template), parameters, tags),
                accept=(200, 201, 202),
                secrets=deployments.secure_values(template, parameters),
            )
        except TransientConflict as failure:
            if failure.status == 409 and failure.code.lower() in deployments.ACTIVE_CODES:
                return Deployment(name, "Accepted", {}, retry_after=failure.retry_after)
            raise
        return _told(answer, name)

    async def validate_deployment(
        self,
        subscription: str,
        group: str,
        name: str,
        template: JsonObject,
        parameters: Mapping[str, Any],
        *,
        client_request_id: str,
    ) -> None:
        """
        Have Azure check a deployment without making anything; returning says only that nothing was found.

        Costs a write and a place in the group's history. An answer that takes long (202) is not waited for.

        Raises:
            AzureFailure: It would be refused, or could not be checked; `retryable` tells them apart.
        """
        secrets = deployments.secure_values(template, parameters)
        answer = await self._caller.call(
            "POST",
            f"{_deployment(subscription, group, name)}/validate",
            self._deployments,
            client_request_id=client_request_id,
            body=deployments.request_body(self._versions.in_template(template), parameters),
            accept=(200, 202),
            secrets=secrets,
        )
        if answer.object.get("error"):
            correlation = answer.headers.get("x-ms-correlation-request-id")
            raise failure_from_error(answer.object, correlation_id=correlation, secrets=secrets)

    async def cancel_deployment(
        self, subscription: str, group: str, name: str, *, client_request_id: str
    ) -> None:
        """Ask a running deployment to stop; one that has ended, or is not there, is no error."""
        path = f"{_deployment(subscription, group, name)}/cancel"
        await self._if_there("POST", path, self._deployments, client_request_id, accept=(200, 202, 204, 409))

    async def delete_deployment(
        self, subscription: str, group: str, name: str, *, client_request_id: str
    ) -> None:
        """Delete a deployment from the history; what it made stays."""
        path = _deployment(subscription, group, name)
        await self._if_there("DELETE", path, self._deployments, client_request_id, accept=(200, 202, 204))

    async def deployment_failures(
        self, subscription: str, group: str, name: str, *, client_request_id: str
    ) -> list[JsonObject]:
        """
        Return the error documents of a deployment's failed operations, each with its resource as `target`.

        For a failed deployment whose own error says nothing. One call or more per deployment; nested ones are gone
        into, ten at most. Each document is fit for `failure_from_error`.
        """
        waiting, looked_at, errors = [(subscription, group, name)], 0, list[JsonObject]()
        while waiting and looked_at < MAX_NESTED_DEPLOYMENTS:
            looked_at += 1
            for failed in await self._failed_operations(*waiting.pop(0), client_request_id):
                target = failed.get("targetResource") or {}
                where = str(target.get("id") or "")
                if str(target.get("resourceType", "")).lower() == "microsoft.resources/deployments" and where:
                    nested = parse(where)
                    waiting.append((nested.subscription or subscription, nested.group or group, nested.name))
                    continue
                error = _error_in(failed.get("statusMessage"))
                if error is not None:
                    errors.append({"target": where, **error} if not error.get("target") else error)
        return errors

    # What the broker may do, and where

    async def permissions(
        self, subscription: str, group: str | None = None, *, client_request_id: str
    ) -> list[JsonObject]:
        """Return what the broker's identity may do in a group or subscription: `actions` and `notActions`."""
        scope = group_id(subscription, group) if group else f"/subscriptions/{subscription}"
        found = self._caller.pages(
            f"{scope}/providers/Microsoft.Authorization/permissions",
            self._api_versions["Microsoft.Authorization/permissions"],
            client_request_id=client_request_id,
        )
        return [permission async for permission in found]

    async def own_assignments(
        self, subscription: str, group: str | None = None, *, client_request_id: str
    ) -> list[JsonObject] | None:
        """
        Return the role assignments of the broker's identity, and of its groups, that count in a group or subscription.

        None where the token does not say who the identity is.
        """
        principal = await object_id(self._credential, self.cloud.scope)
        if principal is None:
            return None
        scope = group_id(subscription, group) if group else f"/subscriptions/{subscription}"
        found = self._caller.pages(
            f"{scope}/providers/Microsoft.Authorization/roleAssignments",
            self._api_versions["Microsoft.Authorization/roleAssignments"],
            client_request_id=client_request_id,
            query={"$filter": f"atScope() and assignedTo('{principal}')"},
        )
        return [assignment async for assignment in found]

    async def locations(self, subscription: str, *, client_request_id: str) -> list[JsonObject]:
        """Return the locations that a subscription may use."""
        found = self._caller.pages(
            f"/subscriptions/{subscription}/locations",
            self._api_versions["Microsoft.Resources/locations"],
            client_request_id=client_request_id,
        )
        return [location async for location in found]

    async def provider(self, subscription: str, namespace: str, *, client_request_id: str) -> JsonObject:
        """Return a resource provider as a subscription sees it; `registrationState` says whether it may be used."""
        answer = await self._caller.call(
            "GET",
            f"/subscriptions/{subscription}/providers/{namespace}",
            self._api_versions["Microsoft.Resources/providers"],
            client_request_id=client_request_id,
        )
        return answer.object

    @property
    def _deployments(self) -> str:
        return self._api_versions["Microsoft.Resources/deployments"]

    async def _if_there(
        self, method: str, path: str, api_version: str, client_request_id: str, *, accept: Collection[int]
    ) -> Answer | None:
        try:
            return await self._caller.call(
                method, path, api_version, client_request_id=client_request_id, accept=accept
            )
        except AzureFailure as failure:
            if _is_absence(failure):
                return None
            raise

    async def _failed_operations(
        self, subscription: str, group: str, name: str, client_request_id: str
    ) -> list[JsonObject]:
        # Unlike the deployment itself, its operations are not found under /providers/Microsoft.Resources.
        found = self._caller.pages(
            f"/subscriptions/{subscription}/resourcegroups/{group}/deployments/{name}/operations",
            self._deployments,
            client_request_id=client_request_id,
        )
        try:
            operations = [operation.get("properties") or {} async for operation in found]
        except NotFound as failure:
            if _is_absence(failure):
                return []
            raise
        return [
            operation for operation in operations if operation.get("provisioningState") == deployments.FAILED
        ]


def _deployment(subscription: str, group: str, name: str) -> str:
    scope = f"/subscriptions/{subscription}/resourcegroups/{group}"
    return f"{scope}/providers/Microsoft.Resources/deployments/{name}"


def _told(answer: Answer, name: str) -> Deployment:
    return deployment_from(answer.object, name=name, retry_after=retry_after_of(answer.headers))


def _error_in(status_message: Any) -> JsonObject | None:
    """Return the error document of a failed operation; some providers send it as a text, with JSON in it or without."""
    if isinstance(status_message, str):
        try:
            status_message = json.loads(status_message)
        except (ValueError, RecursionError):
            return {"message": status_message}
    if not isinstance(status_message, Mapping):
        return None
    error = status_message.get("error", status_message)
    return error if isinstance(error, Mapping) else None


def _is_absence(failure: AzureFailure) -> bool:
    """
    Tell whether *failure* says that the resource is not there, and not that the question was wrong.

    A 404 that is no answer of Azure's (a proxy's page) or that complains about subscription, type or namespace must
    never be taken for "gone": a record would be dropped while its resource lives.
    """
    if failure.code.lower() in ABSENT_CODES:
        return True
    return isinstance(failure, NotFound) and failure.status == 404 and failure.correlation_id is not None


def _filter_of(tags: Mapping[str, str]) -> str:
    name, value = max(tags.items(), key=lambda tag: len(tag[1]))
    quoted = value.replace("'", "''")
    return f"tagName eq '{name}' and tagValue eq '{quoted}'"


def _carries(resource: JsonObject, tags: Mapping[str, str]) -> bool:
    found = {name.lower(): value for name, value in (resource.get("tags") or {}).items()}
    return all(found.get(name.lower()) == value for name, value in tags.items())
