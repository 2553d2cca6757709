"""The simulator's own routes, below `/_simulator`: what was called, what lives, faults, time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from broker.simulator.arm_errors import ArmError
from broker.simulator.clock import Clock
from broker.simulator.deployment_history import MOST
from broker.simulator.deployments import Deployments
from broker.simulator.faults import METHODS, OPTIONS, Faults
from broker.simulator.ledger import KEPT, Ledger
from broker.simulator.rate_limits import LIMITS, Kind, Limit, RateLimits
from broker.simulator.resource_ids import ResourceId
from broker.simulator.resources import Resources
from broker.simulator.role_assignments import TYPE as ROLE_ASSIGNMENTS
from broker.simulator.routes import Asked, Reply, Routes
from broker.simulator.sign_in import SignIn
from broker.simulator.state import PAGE, State

PREFIX = "/_simulator"


class Control:
    """For tests, the demo and curious people; a client of Azure finds nothing like it there."""

    def __init__(
        self,
        state: State,
        clock: Clock,
        ledger: Ledger,
        faults: Faults,
        limits: RateLimits,
        resources: Resources,
        deployments: Deployments,
        sign_in: SignIn,
    ) -> None:
        self._sign_in = sign_in
        self._state = state
        self._clock = clock
        self._ledger = ledger
        self._faults = faults
        self._limits = limits
        self._resources = resources
        self._deployments = deployments

    def routes(self) -> Routes:
        routes = Routes()
        add = routes.add
        add("GET", PREFIX + "/ledger", self.ledger)
        add("GET", PREFIX + "/state", self.state)
        add("GET", PREFIX + "/sign-ins", self.sign_ins)
        add("GET", PREFIX + "/operations", self.operations)
        add("POST", PREFIX + "/faults", self.add_fault)
        add("GET", PREFIX + "/faults", self.list_faults)
        add("DELETE", PREFIX + "/faults", self.lift)
        add("DELETE", PREFIX + "/faults/{fault}", self.lift)
        add("POST", PREFIX + "/plant", self.plant)
        add("POST", PREFIX + "/storage", self.storage)
        add("POST", PREFIX + "/password", self.password)
        add("GET POST", PREFIX + "/clock", self.clock)
        add("POST", PREFIX + "/limits", self.limits)
        add("POST", PREFIX + "/permissions", self.permissions)
        add("POST", PREFIX + "/providers", self.providers)
        add("POST", PREFIX + "/pages", self.pages)
        add("POST", PREFIX + "/history", self.history)
        return routes

    async def ledger(self, asked: Asked) -> Reply:
        """
        Every call to ARM, `?after=N` for those above a number, `?last=N` for the newest of these.

        Calls to these routes are not in it.
        """
        after, last = asked.query.get("after", "0"), asked.query.get("last", str(KEPT))
        if not (after.isdecimal() and last.isdecimal()):
            raise _refused("after and last must be numbers")
        calls = self._ledger.after(int(after))
        return Reply(200, {"calls": calls[max(0, len(calls) - int(last)) :]})

    async def state(self, asked: Asked) -> Reply:
        """What lives now."""
        del asked
        return Reply(
            200,
            {
                "subscription_id": self._state.subscription,
                "cloud": self._state.cloud.environment,
                "groups": [
                    {"name": group.name, "location": group.location, "tags": group.tags, "state": group.state}
                    for group in self._state.groups.values()
                ],
                "resources": [
                    {
                        "id": str(resource.id),
                        "type": resource.id.type,
                        "name": resource.id.full_name,
                        "tags": resource.body.get("tags", {}),
                        "state": resource.state,
                        "busy": resource.busy is not None,
                        "foreign": resource.foreign,
                    }
                    for resource in self._state.resources.values()
                ],
                "role_assignments": list(self._state.role_assignments.values()),
                "deployments": [
                    {"id": d.id, "name": d.name, "group": d.group.name, "state": d.state}
                    for d in self._deployments.history.everywhere()
                ],
            },
        )

    async def operations(self, asked: Asked) -> Reply:
        """The operations of one deployment, `?deployment=ID`, as ARM lists them, but noted nowhere."""
        wanted = asked.query.get("deployment", "").lower()
        steps = [
            step.as_json(deployment.id)
            for deployment in self._deployments.history.everywhere()
            if deployment.id.lower() == wanted
            for step in deployment.steps
        ]
        return Reply(200, {"value": steps})

    async def sign_ins(self, asked: Asked) -> Reply:
        """Who asked for a token, where, and for which scope."""
        del asked
        return Reply(200, {"sign_ins": self._sign_in.told()})

    async def add_fault(self, asked: Asked) -> Reply:
        return Reply(201, self._faults.add(asked.body).as_json())

    async def list_faults(self, asked: Asked) -> Reply:
        del asked
        kinds = {
            kind: {"options": sorted(options), "methods": sorted(METHODS.get(kind, ()))}
            for kind, options in OPTIONS.items()
        }
        return Reply(200, {"faults": self._faults.as_json(), "kinds": kinds})

    async def lift(self, asked: Asked) -> Reply:
        self._faults.lift(asked.names.get("fault"))
        return Reply(204)

    async def plant(self, asked: Asked) -> Reply:
        """
        Put something of somebody else's: `{"id": ..., "tags": ..., "location": ..., "properties": ...}`
        a resource of this subscription (its group is made when absent), `{"type": ..., "name": ...}` a
        global name that is taken in another one, `{"role_assignments": N}` so many on the whole subscription,
        instead of those planted before.
        """
        body = _object(asked.body)
        if "role_assignments" in body:
            self._plant_roles(body["role_assignments"])
            return Reply(201, body)
        if "id" not in body:
            if not (body.get("type") and body.get("name")):
                raise _refused("an id, or a type and a name are needed")
            self._state.taken_elsewhere.add((str(body["type"]).lower(), str(body["name"]).lower()))
            return Reply(201, {"type": body["type"], "name": body["name"]})
        try:
            identity = ResourceId.parse(str(body["id"]))
        except ValueError as error:
            raise _refused(str(error)) from error
        self._state.group(identity.group)
        given = {key: value for key, value in body.items() if key not in {"id", "name", "type"}}
        return Reply(201, self._resources.shown(self._resources.plant(identity, given)))

    def _plant_roles(self, number: Any) -> None:
        if not isinstance(number, int) or number < 0:
            raise _refused("role_assignments must be a number")
        assigned, scope = self._state.role_assignments, f"/subscriptions/{self._state.subscription}"
        place = f"{scope}/providers/{ROLE_ASSIGNMENTS}"
        for key in [key for key in assigned if key.startswith(f"{place}/planted-".lower())]:
            del assigned[key]
        for each in range(number):
            whole = {"id": f"{place}/planted-{each}", "name": f"planted-{each}", "type": ROLE_ASSIGNMENTS}
            properties = {"scope": scope, "principalId": f"planted-{each}", "roleDefinitionId": "somebody-s"}
            assigned[whole["id"].lower()] = {**whole, "properties": properties}

    async def storage(self, asked: Asked) -> Reply:
        """`{"base": URL}`: accounts made from now on have their data plane there, at `URL/<account>`."""
        self._state.storage_base = str(_object(asked.body).get("base") or "").rstrip("/")
        return Reply(200, {"base": self._state.storage_base})

    async def password(self, asked: Asked) -> Reply:
        """`{"id": ..., "password": ...}`: whether that is the password of a user of a database account."""
        body = _object(asked.body)
        known = self._state.access_keys.get(str(body.get("id") or "").lower(), {}).get("password")
        return Reply(200, {"right": known is not None and known == body.get("password")})

    async def clock(self, asked: Asked) -> Reply:
        """`{"speed": x}` and `{"advance": seconds}`; speed 0 stands still."""
        body = _object(asked.body) if asked.method == "POST" else {}
        try:
            if "speed" in body:
                self._clock.speed = float(body["speed"])
            if "advance" in body:
                self._clock.advance(timedelta(seconds=float(body["advance"])))
        except (TypeError, ValueError, OverflowError) as error:
            raise _refused(str(error)) from error
        return Reply(200, {"speed": self._clock.speed, "elapsed": self._clock.elapsed.total_seconds()})

    async def limits(self, asked: Asked) -> Reply:
        """`{"writes": {"size": 5, "per_second": 1, "together": 6}}`: other rate limits, with full buckets."""
        body = _object(asked.body)
        for kind, limit in body.items():
            if kind not in LIMITS or not isinstance(limit, dict):
                raise _refused(f"kinds of calls are {', '.join(LIMITS)}")
            known: Kind = next(each for each in LIMITS if each == kind)
            self._limits.set_limit(known, _limit(limit))
        return Reply(200, body)

    async def permissions(self, asked: Asked) -> Reply:
        """What the permissions list will say: `{"actions": [...], "notActions": [...]}`."""
        empty: dict[str, Any] = {"actions": [], "notActions": [], "dataActions": [], "notDataActions": []}
        self._state.permissions = [{**empty, **_object(asked.body)}]
        return Reply(200, {"value": self._state.permissions})

    async def providers(self, asked: Asked) -> Reply:
        """`{"namespace": ..., "registered": false}`: as in a subscription that never used it."""
        body = _object(asked.body)
        namespace = str(body.get("namespace", ""))
        if body.get("registered", True):
            self._state.providers.set_registered(namespace)
        else:
            self._state.providers.unregister(namespace)
        return Reply(200, body)

    async def pages(self, asked: Asked) -> Reply:
        """`{"size": 2}`: at most so many items on a page of any list."""
        size = _object(asked.body).get("size")
        if not isinstance(size, int) or isinstance(size, bool) or not 1 <= size <= PAGE:
            raise _refused(f"size must be a whole number from 1 to {PAGE}")
        self._state.page_size = size
        return Reply(200, {"size": size})

    async def history(self, asked: Asked) -> Reply:
        """`{"group": ..., "count": 770, "pruning": false}`: old deployments that made nothing; no pruning."""
        body = _object(asked.body)
        group, count = self._state.group(str(body.get("group", ""))), body.get("count", 0)
        if not isinstance(count, int) or isinstance(count, bool) or not 0 <= count <= MOST:
            raise _refused(f"count must be a whole number from 0 to {MOST}")
        history = self._deployments.history
        history.set_pruning(group.name, on=bool(body.get("pruning", True)))
        history.fill(group, count)
        return Reply(200, {"group": group.name, "deployments": len(history.of_group(group.name))})


def _limit(body: dict[str, Any]) -> Limit:
    together = body.get("together")
    try:
        limit = Limit(
            float(body["size"]), float(body["per_second"]), None if together is None else float(together)
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _refused(
            "a limit has a size, calls per_second, and together if you like, as numbers"
        ) from error
    if limit.per_second <= 0:
        raise _refused("per_second must be above 0")
    return limit


def _object(body: Any) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise _refused("a JSON object is needed")
    return body


def _refused(message: str) -> ArmError:
    return ArmError(400, "InvalidControlRequest", message[0].upper() + message[1:] + ".")
