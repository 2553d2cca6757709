"""
Stored access policies of blob containers, and the SAS tokens that hang on them.

A token that names a policy is refused as soon as the policy is gone: credentials that one binding alone holds and
that unbinding takes away, which no account key is. Azure has no management call for the policies of a blob
container; this is the data plane's Set Container ACL, signed with an account key ("Authorize with Shared Key").
That call replaces the whole list, so the list is read and written under a lease of the container.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from urllib.parse import urlencode, urlsplit
from uuid import UUID
from xml.etree import ElementTree as ET

import httpx

from broker.data_planes.base import DataPlaneFailure, NotTrusted, Refused, ServerGone, Unreachable

MOST_POLICIES = 5
"""Azure's own limit for a container ("Define a stored access policy")."""
VERSION = "2021-12-02"
"""Of the data plane; also of the tokens."""
LEASE_SECONDS = 15
"""The shortest that Azure grants. Whoever dies holding one holds the others up no longer than that."""
NEVER = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
_SECONDS = 15.0
_SIGNED_HEADERS = (
    "content-encoding",
    "content-language",
    "content-length",
    "content-md5",
    "content-type",
    "date",
    "if-modified-since",
    "if-match",
    "if-none-match",
    "if-unmodified-since",
    "range",
)
_GONE = frozenset({"ContainerNotFound", "ContainerBeingDeleted", "ResourceNotFound", "AccountIsDisabled"})
_BUSY = frozenset(
    {"LeaseAlreadyPresent", "LeaseIdMismatchWithContainerOperation", "LeaseLost", "LeaseNotPresent"}
)


class ContainerBusy(DataPlaneFailure):
    """Somebody else holds the container's lease."""

    code = "ContainerBusy"
    retryable = True


class TooManyPolicies(DataPlaneFailure):
    """The container has all the stored access policies that Azure allows."""

    code = "TooManyPolicies"


class StorageRefused(DataPlaneFailure):
    """The storage service answered with an error."""

    code = "StorageRefused"

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable


class ContainerGone(DataPlaneFailure):
    """There is no such container."""

    code = "ContainerGone"


@dataclass(frozen=True)
class Container:
    """
    A container and an account key, which is never shown.

    `endpoint` is the account's blob endpoint as its properties give it. `ca_file` holds the certificates to trust;
    None: those of the system.
    """

    endpoint: str
    account: str
    name: str
    key: str = field(repr=False)
    ca_file: Path | None = None

    @property
    def url(self) -> str:
        return f"{self.endpoint.rstrip('/')}/{self.name}"


async def put_policy(
    container: Container, policy: str, *, permissions: str, expires_at: datetime | None, lease: UUID
) -> None:
    """
    Make sure that the container has this stored access policy; all others stay as they are.

    *lease* belongs to the caller alone; with the same one a repeated call takes its own lease over.

    Raises:
        TooManyPolicies: There are five others.
        ContainerGone: There is no such container.
        DataPlaneFailure: As its classes say.
    """
    async with _policies(container, lease) as (found, save):
        others = [one for one in found if _id(one) != policy]
        if len(others) >= MOST_POLICIES:
            raise TooManyPolicies(
                f"The container '{container.name}' has {len(others)} stored access policies, and Azure allows "
                f"{MOST_POLICIES}: unbind one that is not needed any more, or bind with another auth than sas."
            )
        await save([*others, _identifier(policy, permissions, expires_at or NEVER)])


async def remove_policy(container: Container, policy: str, *, lease: UUID) -> None:
    """
    Make sure that the container has no such policy; that there is no such container is fine as well.

    Tokens that name the policy are refused within 30 seconds (Azure, "Define a stored access policy").

    Raises:
        DataPlaneFailure: As its classes say.
    """
    with suppress(ContainerGone):
        async with _policies(container, lease) as (found, save):
            kept = [one for one in found if _id(one) != policy]
            if len(kept) < len(found):
                await save(kept)


def sas_token(container: Container, policy: str) -> str:
    """Return the token that grants what *policy* does, over HTTPS only. The same call gives the same token."""
    resource = f"/blob/{container.account}/{container.name}"
    # Permissions, start and end are the policy's; then address, protocol, version, kind, snapshot, scope, five headers.
    signed = ["", "", "", resource, policy, "", "https", VERSION, "c", "", "", "", "", "", "", ""]
    parts = {
        "sv": VERSION,
        "sr": "c",
        "si": policy,
        "spr": "https",
        "sig": _hmac(container.key, "\n".join(signed)),
    }
    return urlencode(parts)


class _Save:
    def __init__(
        self, client: httpx.AsyncClient, container: Container, public: str | None, lease: UUID
    ) -> None:
        self._client, self._container, self._public, self._lease = client, container, public, lease

    async def __call__(self, policies: list[ET.Element]) -> None:
        whole = ET.Element("SignedIdentifiers")
        whole.extend(policies)
        headers = {"x-ms-lease-id": str(self._lease), "content-type": "application/xml"}
        if self._public is not None:
            # Left out, it would close a container that its owner has opened.
            headers["x-ms-blob-public-access"] = self._public
        body = ET.tostring(whole, encoding="utf-8", xml_declaration=True)
        await _call(self._client, self._container, "PUT", "acl", headers, body)


@asynccontextmanager
async def _policies(container: Container, lease: UUID) -> AsyncIterator[tuple[list[ET.Element], _Save]]:
    """Hold the container's lease; gives the policies that it has, and what replaces them."""
    with _told(container):
        trusted = ssl.create_default_context(cafile=container.ca_file)
    async with httpx.AsyncClient(verify=trusted, timeout=_SECONDS, trust_env=False) as client:
        asked = {"x-ms-lease-action": "acquire", "x-ms-lease-duration": str(LEASE_SECONDS)}
        await _call(client, container, "PUT", "lease", {**asked, "x-ms-proposed-lease-id": str(lease)})
        try:
            answer = await _call(client, container, "GET", "acl", {"x-ms-lease-id": str(lease)})
            public = answer.headers.get("x-ms-blob-public-access")
            yield _parsed(answer.content), _Save(client, container, public, lease)
        finally:
            with suppress(DataPlaneFailure):  # It ends by itself in a few seconds.
                release = {"x-ms-lease-action": "release", "x-ms-lease-id": str(lease)}
                await _call(client, container, "PUT", "lease", release)


async def _call(
    client: httpx.AsyncClient,
    container: Container,
    method: str,
    what: str,
    headers: Mapping[str, str],
    body: bytes = b"",
) -> httpx.Response:
    query = {"comp": what, "restype": "container"}
    sent = {
        "x-ms-date": format_datetime(datetime.now(UTC), usegmt=True),
        "x-ms-version": VERSION,
        **headers,
        **({"content-length": str(len(body))} if method == "PUT" else {}),
    }
    signature = _hmac(container.key, _string_to_sign(method, container, query, sent))
    sent["authorization"] = f"SharedKey {container.account}:{signature}"
    with _told(container):
        answer = await client.request(method, container.url, params=query, headers=sent, content=body)
    if not answer.is_success:
        raise _failure(container, answer)
    return answer


def _string_to_sign(
    method: str, container: Container, query: Mapping[str, str], headers: Mapping[str, str]
) -> str:
    values = [
        "" if name == "content-length" and headers.get(name) == "0" else headers.get(name, "")
        for name in _SIGNED_HEADERS
    ]
    own = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers) if name.startswith("x-ms-"))
    resource = f"/{container.account}{urlsplit(container.url).path}"
    asked = "".join(f"\n{name}:{query[name]}" for name in sorted(query))
    return "\n".join([method, *values, own + resource + asked])


def _hmac(key: str, text: str) -> str:
    return base64.b64encode(hmac.digest(base64.b64decode(key), text.encode(), hashlib.sha256)).decode()


def _identifier(policy: str, permissions: str, expires_at: datetime) -> ET.Element:
    one = ET.Element("SignedIdentifier")
    ET.SubElement(one, "Id").text = policy
    access = ET.SubElement(one, "AccessPolicy")
    ET.SubElement(access, "Expiry").text = expires_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    ET.SubElement(access, "Permission").text = permissions
    return one


def _id(policy: ET.Element) -> str:
    return policy.findtext("Id") or ""


def _parsed(content: bytes) -> list[ET.Element]:
    try:
        # From the account's own endpoint over TLS; expat expands no entity of a document without a DTD of its own.
        return list(ET.fromstring(content.decode("utf-8-sig")).iter("SignedIdentifier"))  # noqa: S314
    except (ET.ParseError, UnicodeDecodeError) as error:
        raise StorageRefused(
            "The storage service's list of policies cannot be read", retryable=True
        ) from error


@contextmanager
def _told(container: Container) -> Iterator[None]:
    host = urlsplit(container.endpoint).hostname
    try:
        yield
    except ssl.SSLError as error:
        raise NotTrusted(f"The certificates to trust for {host} cannot be read.") from error
    except httpx.ConnectError as error:
        text = str(error)
        if "CERTIFICATE_VERIFY_FAILED" in text:
            raise NotTrusted(f"{host} has no certificate that the broker trusts.") from error
        if "Name or service not known" in text or "getaddrinfo" in text or "No address" in text:
            raise ServerGone(f"{host} is not known.") from error
        raise Unreachable(f"No connection to {host}.", not_reached=True) from error
    except httpx.TransportError as error:
        raise Unreachable(f"The connection to {host} broke.", not_reached=False) from error


def _failure(container: Container, answer: httpx.Response) -> DataPlaneFailure:
    code = answer.headers.get("x-ms-error-code", "")
    account = f"The storage account '{container.account}'"
    if code in _GONE:
        return ContainerGone(f"There is no container '{container.name}'.")
    if code in _BUSY:
        return ContainerBusy(f"Somebody else holds the lease of the container '{container.name}'.")
    if code == "AuthorizationFailure":
        return StorageRefused(
            f"{account} does not let the broker in: its network rules have to allow it.", retryable=True
        )
    if code == "KeyBasedAuthenticationNotPermitted":
        return StorageRefused(
            f"{account} allows no access by key (allowSharedKeyAccess): bind with auth entra."
        )
    if answer.status_code == 403:
        return Refused(f"{account} does not accept its key.")
    said = f"{account} answered {answer.status_code} {code}".rstrip()
    return StorageRefused(f"{said}.", retryable=answer.status_code in {408, 429} or answer.status_code >= 500)
