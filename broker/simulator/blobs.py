"""
The data plane of simulated storage accounts: what bindings stand on, and blobs enough to see who gets in.

Knows container leases, the list of stored access policies, and writing, reading and deleting a blob in one piece.
Callers sign with an account key or bring a service SAS; a real storage server is needed for anything else.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from urllib.parse import unquote
from xml.etree import ElementTree as ET

from starlette.requests import Request
from starlette.responses import Response

from broker.simulator.state import State

PREFIX = "/_blobs/"
MOST_POLICIES = 5
NEEDED = {"GET": "r", "HEAD": "r", "PUT": "w", "DELETE": "d"}
SIGNED = (
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
# Fields of a service SAS in the order in which they are signed; `None` is the resource.
TOKEN = (
    "sp",
    "st",
    "se",
    None,
    "si",
    "sip",
    "spr",
    "sv",
    "sr",
    "",
    "ses",
    "rscc",
    "rscd",
    "rsce",
    "rscl",
    "rsct",
)


@dataclass(slots=True)
class Contents:
    """What a container holds; *policies* are permissions and end by policy id, *acl* the list as it was sent."""

    acl: bytes = b'<?xml version="1.0" encoding="utf-8"?><SignedIdentifiers />'
    policies: dict[str, tuple[str, str]] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    lease: str = ""
    leased_until: float = 0.0


class _Refused(Exception):
    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status, self.code = status, code


class Blobs:
    """Answers calls below `PREFIX`: `<account>/<container>[/<blob>]`."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._contents: dict[str, Contents] = {}

    async def answer(self, request: Request) -> Response:
        """Answer one call, always with a version and a date."""
        try:
            response = await self._answer(request)
        except _Refused as refused:
            body = (
                f"<?xml version='1.0'?><Error><Code>{refused.code}</Code><Message>Refused.</Message></Error>"
            )
            headers = {"x-ms-error-code": refused.code}
            response = Response(body, refused.status, headers, "application/xml")
        response.headers["x-ms-version"] = request.headers.get("x-ms-version", "2021-12-02")
        response.headers["date"] = format_datetime(datetime.now(UTC), usegmt=True)
        return response

    async def _answer(self, request: Request) -> Response:
        path = request.url.path.removeprefix(PREFIX)
        account, _, rest = path.partition("/")
        container, _, blob = rest.partition("/")
        keys = self._state.account_keys.get(account)
        if keys is None or not container:
            raise _Refused(404, "ResourceNotFound")
        self._check_signature(request, account, container, tuple(keys.values()))
        contents = self._of(account, container)
        body = await request.body()
        if blob:
            return self._blob(request, contents, blob, body)
        if request.query_params.get("comp") == "lease":
            return self._lease(request, contents)
        if request.query_params.get("comp") == "acl":
            return self._acl(request, contents, body)
        raise _Refused(400, "UnsupportedByThisSimulator")

    def _of(self, account: str, container: str) -> Contents:
        suffix = f"/storageaccounts/{account}/blobservices/default/containers/{container}"
        living = next((key for key in self._state.resources if key.endswith(suffix)), None)
        if living is None:
            self._contents.pop(f"{account}/{container}", None)
            raise _Refused(404, "ContainerNotFound")
        return self._contents.setdefault(f"{account}/{container}", Contents())

    def _check_signature(self, request: Request, account: str, container: str, keys: tuple[str, ...]) -> None:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme == "SharedKey":
            wanted = [f"{account}:{_hmac(key, _string_to_sign(request, account))}" for key in keys]
            self._check_keys_allowed(account)
            if not any(hmac.compare_digest(given, each) for each in wanted):
                raise _Refused(403, "AuthenticationFailed")
            return
        query = request.query_params
        if "sig" not in query:
            raise _Refused(409 if "authorization" not in request.headers else 401, "PublicAccessNotPermitted")
        self._check_keys_allowed(account)
        resource = f"/blob/{account}/{container}"
        signed = "\n".join(resource if name is None else query.get(name, "") for name in TOKEN)
        if not any(hmac.compare_digest(query["sig"], _hmac(key, signed)) for key in keys):
            raise _Refused(403, "AuthenticationFailed")
        self._check_policy(request, account, container)

    def _check_policy(self, request: Request, account: str, container: str) -> None:
        query = request.query_params
        policies = self._of(account, container).policies
        granted, ends = policies.get(query.get("si", ""), ("", ""))
        granted, ends = granted or query.get("sp", ""), ends or query.get("se", "")
        if ("si" in query and query["si"] not in policies) or not ends:
            raise _Refused(403, "AuthenticationFailed")
        if datetime.fromisoformat(ends) < datetime.now(UTC):
            raise _Refused(403, "AuthenticationFailed")
        if query.get("sr") != "c" or "comp" in query or NEEDED[request.method] not in granted:
            raise _Refused(403, "AuthorizationPermissionMismatch")

    def _check_keys_allowed(self, account: str) -> None:
        suffix = f"/storageaccounts/{account}"
        living = next((r for key, r in self._state.resources.items() if key.endswith(suffix)), None)
        if living is not None and living.body["properties"].get("allowSharedKeyAccess") is False:
            raise _Refused(403, "KeyBasedAuthenticationNotPermitted")

    def _lease(self, request: Request, contents: Contents) -> Response:
        headers, now = request.headers, time.monotonic()
        held = contents.lease if contents.leased_until > now else ""
        if headers.get("x-ms-lease-action") == "acquire":
            proposed = headers["x-ms-proposed-lease-id"]
            if held not in {"", proposed}:
                raise _Refused(409, "LeaseAlreadyPresent")
            contents.lease, contents.leased_until = proposed, now + int(headers["x-ms-lease-duration"])
            return Response(None, 201, {"x-ms-lease-id": proposed})
        if held != headers.get("x-ms-lease-id"):
            raise _Refused(409, "LeaseIdMismatchWithLeaseOperation")
        contents.lease, contents.leased_until = "", 0.0
        return Response(None, 200)

    def _acl(self, request: Request, contents: Contents, body: bytes) -> Response:
        if request.method == "GET":
            return Response(contents.acl, 200, media_type="application/xml")
        held = contents.lease if contents.leased_until > time.monotonic() else ""
        if request.headers.get("x-ms-lease-id", held) != held:
            raise _Refused(412, "LeaseIdMismatchWithContainerOperation")
        policies = dict(_policies(body))
        if len(policies) > MOST_POLICIES:
            raise _Refused(400, "InvalidXmlDocument")
        contents.acl, contents.policies = body, policies
        return Response(None, 200)

    @staticmethod
    def _blob(request: Request, contents: Contents, blob: str, body: bytes) -> Response:
        now = format_datetime(datetime.now(UTC), usegmt=True)
        if request.method == "PUT":
            contents.blobs[blob] = body
            return Response(None, 201, {"etag": '"1"', "last-modified": now})
        if blob not in contents.blobs:
            raise _Refused(404, "BlobNotFound")
        if request.method == "DELETE":
            del contents.blobs[blob]
            return Response(None, 202)
        found = contents.blobs[blob]
        headers = {
            "etag": '"1"',
            "last-modified": now,
            "x-ms-blob-type": "BlockBlob",
            "content-range": f"bytes 0-{max(len(found) - 1, 0)}/{len(found)}",
        }
        status = 206 if "x-ms-range" in request.headers else 200
        return Response(found, status, headers, "application/octet-stream")


def _policies(body: bytes) -> Iterator[tuple[str, tuple[str, str]]]:
    try:
        found = ET.fromstring(body)  # noqa: S314  a development tool on loopback
    except ET.ParseError as error:
        raise _Refused(400, "InvalidXmlDocument") from error
    for one in found.iter("SignedIdentifier"):
        policy = one.find("AccessPolicy")
        rights = ("", "") if policy is None else (policy.findtext("Permission"), policy.findtext("Expiry"))
        yield one.findtext("Id") or "", (rights[0] or "", rights[1] or "")


def _string_to_sign(request: Request, account: str) -> str:
    headers = request.headers
    values = [
        "" if (name, headers.get(name)) == ("content-length", "0") else headers.get(name, "")
        for name in SIGNED
    ]
    own = "".join(f"{name}:{headers[name]}\n" for name in sorted(set(headers)) if name.startswith("x-ms-"))
    raw = request.scope.get("raw_path", request.url.path.encode()).decode().partition("?")[0]
    asked = "".join(
        f"\n{name.lower()}:{unquote(request.query_params[name])}" for name in sorted(request.query_params)
    )
    return "\n".join([request.method, *values, f"{own}/{account}{raw}{asked}"])


def _hmac(key: str, text: str) -> str:
    return base64.b64encode(hmac.digest(base64.b64decode(key), text.encode(), hashlib.sha256)).decode()
