"""One call to Azure Resource Manager: sent once, counted, and answered with JSON or a failure."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal, Protocol, TypeAlias
from urllib.parse import quote, urlencode, urlsplit

import httpx
from azure.core import AsyncPipelineClient
from azure.core.credentials_async import AsyncTokenCredential
from azure.core.exceptions import AzureError
from azure.core.pipeline.policies import RequestIdPolicy, UserAgentPolicy
from azure.core.rest import HttpRequest

from broker.azure import resource_ids
from broker.azure.api_versions import ApiVersions
from broker.azure.authentication import TokenPolicy
from broker.azure.clouds import Cloud
from broker.azure.distilling import JsonObject, short_resource
from broker.azure.failures import (
    AzureFailure,
    OutcomeUnknown,
    UnknownFailure,
    failure_from_response,
    retry_after_of,
    translate,
)
from broker.azure.transport import HttpxTransport

Kind = Literal["read", "write", "delete"]

KINDS: Mapping[str, Kind] = {"GET": "read", "HEAD": "read", "DELETE": "delete"}
"""Which of Azure's three buckets a method is charged to; anything else is a write."""

MAX_PAGES = 200
_LONGEST_REGION = 60


@dataclass(frozen=True)
class Call:
    """
    One call as metrics and budgets see it: no host, no names, no content.

    `status` is None when no answer came. `remaining` is how many calls of this kind Azure says are left, and
    `retry_after` in seconds what it asked for. `region` is the one of Azure's in which Resource Manager answered.
    """

    kind: Kind
    method: str
    pattern: str
    subscription: str | None
    status: int | None
    seconds: float
    remaining: int | None
    retry_after: float | None
    region: str | None = None


@dataclass(frozen=True)
class Answer:
    """An answer that was asked for: status, headers with lower-case names, and the JSON body (`{}` for none)."""

    status: int
    headers: Mapping[str, str]
    body: Any = field(repr=False)

    @property
    def object(self) -> JsonObject:
        """
        The body, which must be an object.

        Raises:
            OutcomeUnknown: It is something else.
        """
        if not isinstance(self.body, Mapping):
            raise OutcomeUnknown("Azure's answer is not of the documented form", code="unreadable-answer")
        return self.body


class CallTrace(Protocol):
    """Around one call: what it sends of the trace that it belongs to, and what came of it."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers to send with it."""
        ...

    def answered(self, status: int | None) -> None:
        """Hear of its status; None when no answer came."""
        ...


Trace: TypeAlias = Callable[[str, str], AbstractContextManager[CallTrace]]
"""Is around each call, of which it is told the method and the pattern."""


class _NoTrace:
    headers: Mapping[str, str] = {}

    def answered(self, status: int | None) -> None:
        del status


_NO_TRACE = _NoTrace()


def no_trace(_method: str, _pattern: str) -> AbstractContextManager[CallTrace]:
    """Keep no trace."""
    return nullcontext(_NO_TRACE)


class Caller:
    """
    Sends calls through one pipeline: request id, user agent, token, no retry, no registration of providers.

    *on_call* hears of every call, also of failed ones; it must not raise. No call, its token included, lasts longer
    than *limit*. *trace* is around each call.
    """

    def __init__(
        self,
        *,
        cloud: Cloud,
        credential: AsyncTokenCredential,
        client: httpx.AsyncClient,
        user_agent: str,
        on_call: Callable[[Call], None] | None,
        limit: timedelta,
        api_versions: ApiVersions | None = None,
        trace: Trace = no_trace,
    ) -> None:
        self._trace = trace
        self._endpoint = cloud.endpoint
        self._versions = api_versions or ApiVersions()
        self._limit = limit.total_seconds()
        self._on_call = on_call
        self._client: AsyncPipelineClient[Any, Any] = AsyncPipelineClient(
            cloud.endpoint,
            transport=HttpxTransport(client),
            policies=[
                RequestIdPolicy(),
                UserAgentPolicy(base_user_agent=user_agent, user_agent_use_env=False),
                TokenPolicy(credential, cloud.scope),
            ],
        )

    async def call(
        self,
        method: str,
        path: str,
        api_version: str,
        *,
        client_request_id: str,
        query: Mapping[str, str] | None = None,
        body: JsonObject | None = None,
        accept: Collection[int] = (200,),
        secrets: Collection[str] = (),
    ) -> Answer:
        """
        Send one request and return its answer, if its status is in *accept*.

        Raises:
            AzureFailure: As its classes say.
            ValueError: *path* is no path.
        """
        version = self._versions.of_path(path, api_version)
        parameters = urlencode({"api-version": version, **(query or {})}, quote_via=quote)
        url = f"{self._endpoint}{resource_ids.checked(path)}?{parameters}"
        return await self._send(method, url, path, client_request_id, body, accept, secrets)

    async def pages(
        self, path: str, api_version: str, *, client_request_id: str, query: Mapping[str, str] | None = None
    ) -> AsyncIterator[JsonObject]:
        """
        Yield the items of a list, page by page.

        Raises:
            AzureFailure: As its classes say; also for a next page that is not on this cloud, since the token would
                go with the request.
        """
        answer = await self.call("GET", path, api_version, client_request_id=client_request_id, query=query)
        for _ in range(MAX_PAGES):
            page = answer.object
            for item in page.get("value", ()):
                yield item
            link = page.get("nextLink")
            if not link:
                return
            if not isinstance(link, str) or _origin(link) != _origin(self._endpoint):
                raise UnknownFailure("Azure's list goes on at another place", code="foreign-next-link")
            answer = await self._send("GET", link, urlsplit(link).path, client_request_id, None, (200,), ())
        raise UnknownFailure("Azure's list does not end", code="endless-list")

    async def _send(
        self,
        method: str,
        url: str,
        path: str,
        client_request_id: str,
        body: JsonObject | None,
        accept: Collection[int],
        secrets: Collection[str],
    ) -> Answer:
        kind = KINDS.get(method, "write")
        pattern = resource_ids.pattern_of(path)
        started = time.perf_counter()
        status: int | None = None
        headers: dict[str, str] = {}
        with self._trace(method, pattern) as traced:
            request = HttpRequest(
                method, url, json=body, headers={"Accept": "application/json", **traced.headers}
            )
            try:
                # httpx limits each read but not their number: a server that drips could hold a call for ever.
                async with asyncio.timeout(self._limit):
                    response = await self._client.send_request(request, request_id=client_request_id)
                status = response.status_code
                headers = {name.lower(): value for name, value in response.headers.items()}
            except AzureError as error:
                raise _about(translate(error), path, client_request_id) from error
            except TimeoutError as error:
                failure = OutcomeUnknown("Azure took too long to answer", code="no-answer")
                raise _about(failure, path, client_request_id) from error
            finally:
                traced.answered(status)
                if self._on_call is not None:
                    wait = retry_after_of(headers)
                    self._on_call(
                        Call(
                            kind,
                            method,
                            pattern,
                            _subscription(path),
                            status,
                            time.perf_counter() - started,
                            remaining_from(headers).get(kind),
                            wait.total_seconds() if wait is not None else None,
                            region_from(headers),
                        )
                    )
        if status not in accept:
            failed = failure_from_response(status, headers, response.content, secrets=secrets, resource=path)
            raise _about(failed, path, client_request_id)
        try:
            return Answer(status, headers, json.loads(response.content) if response.content.strip() else {})
        except ValueError as error:
            unread = OutcomeUnknown("Azure's answer is not JSON", code="unreadable-answer", status=status)
            raise _about(unread, path, client_request_id) from error


def _about(failure: AzureFailure, path: str, client_request_id: str) -> AzureFailure:
    """Say of a failure what was asked for and under which id, where Azure has not said it."""
    failure.resource = failure.resource or short_resource(path) or "The subscription"
    failure.request_id = client_request_id
    return failure


def remaining_from(headers: Mapping[str, str]) -> dict[Kind, int]:
    """
    Return how many calls of each kind Azure says are left, the smallest where it says several.

    *headers* have lower-case names. Azure speaks only of the kind that was asked.
    """
    remaining: dict[Kind, int] = {}
    kinds: dict[str, Kind] = {"reads": "read", "writes": "write", "deletes": "delete"}
    for word, kind in kinds.items():
        for scope in ("subscription", "subscription-global", "tenant"):
            said = headers.get(f"x-ms-ratelimit-remaining-{scope}-{word}", "")
            if said.isdecimal():
                remaining[kind] = min(int(said), remaining.get(kind, int(said)))
    return remaining


def region_from(headers: Mapping[str, str]) -> str | None:
    """Return the region in which Resource Manager answered: each has buckets of its own."""
    region, colon, _ = headers.get("x-ms-routing-request-id", "").partition(":")
    return region.upper() if colon and region.isalnum() and len(region) <= _LONGEST_REGION else None


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else None)


def _subscription(path: str) -> str | None:
    segments = path.split("/")
    return segments[2] if len(segments) > 2 and segments[1].lower() == "subscriptions" else None
