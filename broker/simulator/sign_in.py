"""
Microsoft Entra as far as a service principal needs it, and the metadata that tell clients where to go.

Sources: OAuth 2.0 client credentials (RFC 6749, section 4.4), OpenID Connect Discovery, and the requests of
azure-identity, MSAL and Terraform's provider. Error words and AADSTS numbers are Entra's published ones.
"""

from __future__ import annotations

import hmac
import json
import re
import secrets
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import Response

from broker.simulator.clock import Clock
from broker.simulator.state import State

LIFETIME = 3600
KEPT = 1_000
LARGEST_FORM = 64 * 1024
TOKEN = re.compile(r"/([^/]+)/oauth2/v2\.0/token")
CONFIGURATION = re.compile(r"/([^/]+)/v2\.0/\.well-known/openid-configuration")
INSTANCE = "/common/discovery/instance"
METADATA = "/metadata/endpoints"
ANY_TENANT = frozenset({"common", "organizations"})
OLD_METADATA = frozenset({"1.0", "2015-01-01"})
LISTED_SINCE, SINGLE_SINCE = "2019-05-01", "2022-09-01"


@dataclass(frozen=True, slots=True)
class Asked:
    """A token that was asked for; the secret and the token are not kept here."""

    time: str
    authority: str
    tenant: str
    client_id: str
    scope: str
    status: int
    error: str | None


class _Refused(Exception):
    def __init__(self, status: int, error: str, number: int, text: str) -> None:
        super().__init__(text)
        self.status, self.error, self.number = status, error, number


class SignIn:
    """
    Issues bearer tokens to the one application that the simulated tenant has.

    *token* is accepted besides those that are issued, and never ends. An assertion (workload identity) is believed
    when it is the client secret: nothing here checks signatures.
    """

    def __init__(self, state: State, *, token: str, client_secret: str) -> None:
        self._state = state
        self._token = token.encode()
        self._secret = client_secret.encode()
        self._issued: dict[str, float] = {}
        self.asked: deque[Asked] = deque(maxlen=KEPT)

    def principal_of(self, token: str) -> str | None:
        """Whose a bearer token is; None for one that is not good at this moment."""
        if hmac.compare_digest(token.encode(), self._token):
            return "simulator"
        return self._state.client_id if self._issued.get(token, 0.0) > time.monotonic() else None

    async def answer(self, request: Request, own: str) -> Response | None:
        """Answer what needs no token; None for any other path. *own* is the origin that the client used."""
        path, method = request.url.path, request.method
        at_login = _host(own) != self._state.cloud.management
        if method == "POST" and at_login and (match := TOKEN.fullmatch(path)):
            return await self._issue(request, match[1], own)
        if method != "GET":
            return None
        if match := CONFIGURATION.fullmatch(path):
            return self._configuration(match[1], own)
        if path == INSTANCE:
            return _json(
                200,
                {
                    "tenant_discovery_endpoint": f"{own}/{self._state.tenant}/v2.0/.well-known/openid-configuration",
                    "api-version": "1.1",
                    "metadata": [
                        {
                            "preferred_network": _host(own),
                            "preferred_cache": _host(own),
                            "aliases": [_host(own)],
                        }
                    ],
                },
            )
        return self._metadata(request, own) if path == METADATA else None

    async def _issue(self, request: Request, tenant: str, own: str) -> Response:
        form: Mapping[str, str] = {}
        try:
            form = await _form(request)
            self._check(form, tenant, own)
        except _Refused as refused:
            self._note(own, tenant, form, refused.status, refused.error)
            text = f"AADSTS{refused.number}: {refused} Timestamp: {Clock.now():%Y-%m-%d %H:%M:%SZ}"
            body: dict[str, Any] = {
                "error": refused.error,
                "error_description": text,
                "error_codes": [refused.number],
            }
            return _json(refused.status, body)
        self._note(own, tenant, form, 200, None)
        token = secrets.token_urlsafe(32)
        now = time.monotonic()
        living = {issued: end for issued, end in self._issued.items() if end > now}
        self._issued = {**dict(list(living.items())[-KEPT:]), token: now + LIFETIME}
        body = {
            "token_type": "Bearer",
            "expires_in": LIFETIME,
            "ext_expires_in": LIFETIME,
            "access_token": token,
        }
        return _json(200, body)

    def _check(self, form: Mapping[str, str], tenant: str, own: str) -> None:
        if tenant.lower() != self._state.tenant:
            raise _Refused(400, "invalid_request", 90002, f"Tenant '{tenant}' not found.")
        if form.get("grant_type") != "client_credentials":
            raise _Refused(
                400, "unsupported_grant_type", 70003, "The simulator knows 'client_credentials' only."
            )
        client_id = form.get("client_id", "")
        if client_id.lower() != self._state.client_id:
            raise _Refused(
                400,
                "unauthorized_client",
                700016,
                f"Application with identifier '{client_id}' was not found in the directory.",
            )
        given = form.get("client_secret") or form.get("client_assertion", "").strip()
        if not hmac.compare_digest(given.encode(), self._secret):
            raise _Refused(401, "invalid_client", 7000215, "Invalid client secret provided.")
        scope = form.get("scope", "")
        if not scope.endswith("/.default"):
            raise _Refused(
                400,
                "invalid_scope",
                1002012,
                f"The scope '{scope}' is not valid: it must end with /.default.",
            )
        if not self._state.cloud.accepts(scope, own):
            resource = scope.removesuffix("/.default")
            raise _Refused(
                400,
                "invalid_resource",
                500011,
                f"The resource principal named {resource} was not found in the tenant; this is the cloud "
                f"'{self._state.cloud.environment}'.",
            )

    def _note(self, own: str, tenant: str, form: Mapping[str, str], status: int, error: str | None) -> None:
        client_id, scope = form.get("client_id", ""), form.get("scope", "")
        self.asked.append(Asked(Clock.now().isoformat(), own, tenant, client_id, scope, status, error))

    def told(self) -> list[dict[str, Any]]:
        """The last 1,000 tokens that were asked for, oldest first, as JSON."""
        return [asdict(asked) for asked in self.asked]

    def _configuration(self, tenant: str, own: str) -> Response:
        if tenant.lower() not in {self._state.tenant, *ANY_TENANT}:
            body = {
                "error": "invalid_tenant",
                "error_description": f"AADSTS90002: Tenant '{tenant}' not found.",
            }
            return _json(400, body)
        base = f"{own}/{tenant}"
        return _json(
            200,
            {
                "issuer": f"{own}/{self._state.tenant}/v2.0",
                "token_endpoint": f"{base}/oauth2/v2.0/token",
                "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
                "device_authorization_endpoint": f"{base}/oauth2/v2.0/devicecode",
                "jwks_uri": f"{base}/discovery/v2.0/keys",
                "response_types_supported": ["code"],
                "subject_types_supported": ["pairwise"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "token_endpoint_auth_methods_supported": ["client_secret_post"],
            },
        )

    def _metadata(self, request: Request, own: str) -> Response:
        """A list of one from 2019-05-01 on, one object from 2022-09-01 on, and Azure Stack's old form before."""
        version = request.query_params.get("api-version", "")
        described = self._state.cloud.described(own)
        if version in OLD_METADATA:
            old = {f"{name}Endpoint": described["portal"] for name in ("gallery", "graph", "portal")}
            return _json(200, {**old, "authentication": described["authentication"]})
        if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", version) or version < LISTED_SINCE:
            text = "The api-version query parameter must be 1.0, 2015-01-01, or a date from 2019-05-01 on."
            return _json(400, {"error": {"code": "InvalidApiVersionParameter", "message": text}})
        return _json(200, described if version >= SINGLE_SINCE else [described])


async def _form(request: Request) -> dict[str, str]:
    content = await request.body()
    if len(content) > LARGEST_FORM:
        raise _Refused(413, "invalid_request", 90015, "The request is too long.")
    try:
        fields = parse_qs(content.decode("ascii"), keep_blank_values=True, max_num_fields=50)
    except ValueError as error:
        raise _Refused(400, "invalid_request", 900144, "The request's body is no form.") from error
    return {name: values[-1] for name, values in fields.items()}


def _host(origin: str) -> str:
    return origin.partition("://")[2]


def _json(status: int, body: Any) -> Response:
    headers = {"Cache-Control": "no-store"}
    return Response(json.dumps(body), status, headers, "application/json; charset=utf-8")
