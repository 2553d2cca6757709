"""The ASGI app: what every call passes before and after its handler."""

from __future__ import annotations

import json
import re
import uuid
from typing import Any
from urllib.parse import urlsplit

import structlog
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from broker.simulator import blobs, cosmos_db, key_vault, messaging, mysql, postgresql, redis, sql, storage
from broker.simulator.arm import Arm
from broker.simulator.arm_errors import ArmError
from broker.simulator.clock import Clock
from broker.simulator.connections import abort, deliver
from broker.simulator.control import PREFIX, Control
from broker.simulator.database_servers import DatabaseServers
from broker.simulator.deployments import Deployments
from broker.simulator.described import Described
from broker.simulator.durations import Durations
from broker.simulator.fault_replies import changed, code_of, instead
from broker.simulator.faults import Fault, Faults
from broker.simulator.lagging import Lagging
from broker.simulator.ledger import Call, Ledger
from broker.simulator.listeners import is_loopback
from broker.simulator.page.files import page_file
from broker.simulator.provider_routes import RESOURCES_VERSIONS
from broker.simulator.rate_limits import RateLimits, Taken
from broker.simulator.resources import Resources
from broker.simulator.routes import Asked, Reply, Routes
from broker.simulator.sign_in import SignIn
from broker.simulator.state import State

log = structlog.get_logger(__name__)

GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
OF_RESOURCES = re.compile(
    r"/subscriptions(?:/[^/]+(?:/(?:locations|resources|providers|operationresults/.*"
    r"|providers/[^/]+(?:/(?:un)?register)?|resourcegroups(?:/[^/]+(?:/resources|/deployments/.*"
    r"|/providers/microsoft\.resources/.*)?)?))?)?",
    re.IGNORECASE,
)
DEPLOYMENT = re.compile(r"/deployments/([^/]+)", re.IGNORECASE)
LARGEST_BODY = 4 * 1024 * 1024


class Simulator:
    """
    An ARM in memory.

    Args:
        sign_in: Which bearer tokens are accepted, and who issues them.
        databases: The real PostgreSQL servers behind simulated ones.
        mysql_servers: The MySQL servers.
        clock: Simulated time.
        durations: How long things take in it.
        lagging: Types that this cloud serves at an older api-version only.
        caches: The real Redis servers behind simulated caches.
    """

    def __init__(
        self,
        *,
        sign_in: SignIn,
        databases: DatabaseServers,
        mysql_servers: DatabaseServers,
        clock: Clock,
        durations: Durations | None = None,
        state: State,
        lagging: Lagging | None = None,
        caches: redis.Caches | None = None,
    ) -> None:
        durations = durations or Durations()
        self.state = state
        self.clock = clock
        self.ledger = Ledger()
        self.faults = Faults()
        self.limits = RateLimits(clock)
        self._sign_in = sign_in
        self._lagging = lagging or Lagging({}, state.types)
        every = [
            *postgresql.kinds(self.state, durations, databases),
            *mysql.kinds(self.state, durations, mysql_servers),
            *storage.kinds(self.state, durations),
            *messaging.kinds(self.state, durations),
            *cosmos_db.kinds(self.state, durations),
            *key_vault.kinds(self.state, durations),
            *redis.kinds(self.state, durations, caches),
            *sql.kinds(self.state, durations),
        ]
        resources = Resources(self.state, clock, every, Described(self.state, durations))
        deployments = Deployments(self.state, resources, clock, durations)
        self._arm = Arm(self.state, clock, durations, resources, deployments).routes()
        control = Control(
            self.state, clock, self.ledger, self.faults, self.limits, resources, deployments, sign_in
        )
        self._control = control.routes()
        self._blobs = blobs.Blobs(self.state)

    async def close(self) -> None:
        """End all work under way."""
        await self.state.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        if not self._is_meant(request):
            response = _misdirected(request)
            await response(scope, receive, send)
            return
        open_to_all = page_file(request) or await self._sign_in.answer(request, _own(request))
        if open_to_all is not None:
            await open_to_all(scope, receive, send)
            return
        if request.url.path.startswith(PREFIX):
            response = await self._answer_control(request)
            await response(scope, receive, send)
            return
        if request.url.path.startswith(blobs.PREFIX):
            response = await self._blobs.answer(request)
            await response(scope, receive, send)
            return
        call = self.ledger.open(_noted(request))
        response_or_none, fault = await self._answer_arm(request, call)
        call.ended = Clock.now()
        if response_or_none is None:
            abort(send)
            return
        call.status = response_or_none.status_code
        await deliver(response_or_none, fault, scope, receive, send)

    def _is_meant(self, request: Request) -> bool:
        """Whether the client meant the simulator: a page elsewhere whose name was led to loopback did not."""
        host = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
        return host == "localhost" or is_loopback(host) or host in self.state.cloud.hosts

    async def _answer_control(self, request: Request) -> Response:
        try:
            self._authenticate(request)
            reply = await self._handled(self._control, request, str(uuid.uuid4()), None)
        except ArmError as error:
            reply = Reply(error.status, {"error": error.error()}, error.headers)
        return _response(request, reply)

    async def _answer_arm(self, request: Request, call: Call) -> tuple[Response | None, Fault | None]:
        """The reply to a call, None when its connection is to be cut, and the fault that it met."""
        taken: Taken | None = None
        fault: Fault | None = None
        try:
            principal = self._authenticate(request)
            taken = self.limits.take(principal, request.method)
            if not taken.allowed:
                raise self._throttled(taken)
            path = request.url.path.rstrip("/")
            fault = self.faults.strike(request.method, path, request.headers["authorization"])
            if fault is not None:
                call.fault = fault.kind
                broken = await instead(fault, request.method, path, self._challenge(request))
                if broken is not None:
                    call.code = code_of(fault)
                    return _with_ids(broken, request, call, taken), fault
                if fault.kind == "reset":
                    return None, fault
            call.handled = True
            reply = await self._handled(self._arm, request, call.correlation_id, fault)
            if fault is not None and fault.kind == "unseen":
                fault.hide(path)
            if fault is not None and fault.kind == "reply_lost":
                return None, fault
        except ArmError as error:
            call.code = error.code
            reply = Reply(error.status, {"error": error.error()}, error.headers)
        response = _response(request, reply)
        if fault is not None:
            response = changed(fault, response)
        return _with_ids(response, request, call, taken), fault

    def _authenticate(self, request: Request) -> str:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        principal = self._sign_in.principal_of(token.strip()) if scheme.lower() == "bearer" else None
        if principal is not None:
            return principal
        code = "InvalidAuthenticationToken" if token else "AuthenticationFailed"
        message = "The access token is invalid." if token else "The 'Authorization' header is missing."
        raise ArmError(401, code, message, headers={"WWW-Authenticate": self._challenge(request)})

    def _challenge(self, request: Request) -> str:
        login = self.state.cloud.described(_own(request))["authentication"]["loginEndpoint"]
        return f'Bearer authorization_uri="{login}/{self.state.tenant}", error="invalid_token"'

    def _throttled(self, taken: Taken) -> ArmError:
        return ArmError(
            429,
            "SubscriptionRequestsThrottled",
            f"Number of {taken.kind} for subscription '{self.state.subscription}' exceeded the limit. "
            "Please try again after the time in the Retry-After header.",
            headers={"Retry-After": str(self.clock.wall_seconds(taken.wait))},
        )

    async def _handled(
        self, routes: Routes, request: Request, correlation_id: str, fault: Fault | None
    ) -> Reply:
        path = request.url.path.rstrip("/") or "/"
        found = routes.find(request.method, path)
        if found is None:
            raise ArmError(404, "InvalidResourceType", f"There is nothing at {request.method} '{path}'.")
        handler, names = found
        if routes is self._arm:
            self._check_version(path, request.query_params.get("api-version"))
            subscription = names.get("subscription")
            if subscription is not None and subscription.lower() != self.state.subscription.lower():
                raise ArmError(
                    404, "SubscriptionNotFound", f"The subscription '{subscription}' could not be found."
                )
        query, body = request.query_params, await _body(request)
        if routes is self._arm:
            version = self._lagging.version(path, query.get("api-version", ""))
            query = QueryParams({**query, "api-version": version})
            body = self._lagging.template(body)
        asked = Asked(
            method=request.method,
            path=path,
            query=query,
            body=body,
            base=_own(request),
            correlation_id=correlation_id,
            fault=fault,
            page_size=self.state.page_size,
            names=names,
        )
        try:
            return await handler(asked)
        except ArmError:
            raise
        except Exception as error:
            log.exception("The simulator failed to answer", method=request.method, path=path)
            raise ArmError(500, "InternalServerError", "The simulator failed; its log tells why.") from error

    def _check_version(self, path: str, api_version: str | None) -> None:
        if not api_version:
            raise ArmError(
                400,
                "MissingApiVersionParameter",
                "The api-version query parameter (?api-version=) is required for all requests.",
            )
        if OF_RESOURCES.fullmatch(path) and api_version not in RESOURCES_VERSIONS:
            listed = ", ".join(RESOURCES_VERSIONS)
            raise ArmError(
                400,
                "InvalidApiVersionParameter",
                f"The api-version '{api_version}' is invalid. The supported versions are '{listed}'.",
            )


def _own(request: Request) -> str:
    """The origin that the client used, for links and addresses that lead back."""
    return f"{request.url.scheme}://{request.headers.get('host', request.url.netloc)}"


def _misdirected(request: Request) -> Response:
    host = request.headers.get("host", "")
    message = f"The simulated Azure answers on loopback and to its cloud's own names, not to '{host}'."
    error = {"code": "MisdirectedRequest", "message": message}
    return Response(json.dumps({"error": error}), 421, None, "application/json; charset=utf-8")


def _noted(request: Request) -> Call:
    path = request.url.path
    deployment = DEPLOYMENT.search(path)
    correlation = request.headers.get("x-ms-correlation-request-id", "")
    return Call(
        sequence=0,
        time=Clock.now(),
        method=request.method,
        path=path,
        api_version=request.query_params.get("api-version"),
        client_request_id=request.headers.get("x-ms-client-request-id"),
        correlation_id=correlation if GUID.fullmatch(correlation) else str(uuid.uuid4()),
        request_id=str(uuid.uuid4()),
        deployment=deployment[1] if deployment else None,
    )


async def _body(request: Request) -> Any:
    content = await request.body()
    if len(content) > LARGEST_BODY:
        raise ArmError(413, "RequestContentTooLarge", "The request content is larger than 4 MB.")
    if not content:
        return None
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ArmError(
            400, "InvalidRequestContent", "The request content was invalid and could not be deserialized."
        ) from error


def _response(request: Request, reply: Reply) -> Response:
    if reply.body is None or request.method == "HEAD":
        return Response(None, reply.status, dict(reply.headers))
    text = json.dumps(reply.body)
    return Response(text, reply.status, dict(reply.headers), "application/json; charset=utf-8")


def _with_ids(response: Response, request: Request, call: Call, taken: Taken | None) -> Response:
    headers = response.headers
    headers["x-ms-request-id"] = call.request_id
    headers["x-ms-correlation-request-id"] = call.correlation_id
    headers["x-ms-routing-request-id"] = f"SIMULATED:{call.time:%Y%m%dT%H%M%SZ}:{call.request_id}"
    headers["Cache-Control"] = "no-cache"
    if request.headers.get("x-ms-return-client-request-id", "").lower() == "true" and call.client_request_id:
        headers["x-ms-client-request-id"] = call.client_request_id
    if taken is not None:
        headers[f"x-ms-ratelimit-remaining-subscription-{taken.kind}"] = str(taken.left)
        headers[f"x-ms-ratelimit-remaining-subscription-global-{taken.kind}"] = str(taken.left_global)
    return response
