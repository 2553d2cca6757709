"""The requests of Service Catalog, byte for byte as its controller was seen to send them."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

API_VERSION = "2.14"


@dataclass(frozen=True)
class Account:
    """Somebody whom the API server knows, as the originating identity tells it."""

    username: str
    groups: tuple[str, ...] = ("system:authenticated",)
    uid: str = ""

    @property
    def header(self) -> str:
        said = {"username": self.username, "uid": self.uid, "groups": list(self.groups)}
        return "kubernetes " + base64.b64encode(_json(said)).decode()


CONTROLLER = Account("service-catalog", ("system:masters", "system:authenticated"))


@dataclass(frozen=True)
class Cluster:
    """A cluster, and the namespace in which everything happens."""

    id: str
    namespace: str
    namespace_uid: str

    def context(self, instance_name: str) -> dict[str, str]:
        """Return what is told with each request about an instance or binding; Go sorts the keys of a map."""
        return {
            "clusterid": self.id,
            "instance_name": instance_name,
            "namespace": self.namespace,
            "platform": "kubernetes",
        }


@dataclass(frozen=True)
class Request:
    """One request without host and credentials."""

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None

    @property
    def target(self) -> str:
        return self.path + (f"?{self.query}" if self.query else "")

    @property
    def polls(self) -> bool:
        return self.path.endswith("/last_operation")


def request(
    method: str,
    path: str,
    *,
    by: Account | None,
    body: Mapping[str, Any] | None = None,
    query: Mapping[str, str | None] | None = None,
) -> Request:
    """Make a request; what is None in the query is left out, and the rest sorted as Go does."""
    headers = {
        "User-Agent": "Go-http-client/1.1",
        "X-Broker-Api-Version": API_VERSION,
        "Accept-Encoding": "gzip",
    }
    if by is not None:
        headers["X-Broker-Api-Originating-Identity"] = by.header
    if body is not None:
        headers["Content-Type"] = "application/json"
    given = sorted((key, value) for key, value in (query or {}).items() if value is not None)
    return Request(method, path, urlencode(given), headers, None if body is None else _json(body))


def catalog() -> Request:
    return request("GET", "/v2/catalog", by=None)


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


@dataclass(frozen=True)
class InstanceEnvelopes:
    """The requests for one service instance."""

    cluster: Cluster
    name: str
    id: str
    service_id: str

    @property
    def path(self) -> str:
        return f"/v2/service_instances/{self.id}"

    def provision(self, plan_id: str, parameters: Mapping[str, Any] | None) -> Request:
        body = {
            "service_id": self.service_id,
            "plan_id": plan_id,
            "organization_guid": self.cluster.id,
            "space_guid": self.cluster.namespace_uid,
            **({"parameters": parameters} if parameters else {}),
            "context": self.cluster.context(self.name),
        }
        return request("PUT", self.path, by=CONTROLLER, body=body, query={"accepts_incomplete": "true"})

    def update(
        self, *, known_plan_id: str, plan_id: str | None, parameters: Mapping[str, Any] | None, by: Account
    ) -> Request:
        """Ask for a change; None and an empty set of parameters mean that they are not sent."""
        body = {
            "service_id": self.service_id,
            **({"plan_id": plan_id} if plan_id else {}),
            **({"parameters": parameters} if parameters else {}),
            "context": self.cluster.context(self.name),
            "previous_values": {"plan_id": known_plan_id, "service_id": self.service_id},
        }
        # Resolving another plan, the controller writes into the object, and becomes its last author.
        author = CONTROLLER if plan_id else by
        return request("PATCH", self.path, by=author, body=body, query={"accepts_incomplete": "true"})

    def deprovision(self, plan_id: str) -> Request:
        query = {"accepts_incomplete": "true", "service_id": self.service_id, "plan_id": plan_id}
        return request("DELETE", self.path, by=CONTROLLER, query=query)

    def poll(self, plan_id: str, operation: str | None) -> Request:
        query = {"service_id": self.service_id, "plan_id": plan_id, "operation": operation}
        return request("GET", f"{self.path}/last_operation", by=CONTROLLER, query=query)


@dataclass(frozen=True)
class BindingEnvelopes:
    """The requests for one service binding; `plan_id` is the instance's at that moment."""

    instance: InstanceEnvelopes
    id: str
    by: Account
    asynchronous: bool = False

    @property
    def path(self) -> str:
        return f"{self.instance.path}/service_bindings/{self.id}"

    @property
    def _incomplete(self) -> dict[str, str | None]:
        return {"accepts_incomplete": "true" if self.asynchronous else None}

    def bind(self, plan_id: str, parameters: Mapping[str, Any] | None) -> Request:
        body = {
            "service_id": self.instance.service_id,
            "plan_id": plan_id,
            **({"parameters": parameters} if parameters else {}),
            "bind_resource": {"app_guid": self.instance.cluster.namespace_uid},
            "context": self.instance.cluster.context(self.instance.name),
        }
        return request("PUT", self.path, by=self.by, body=body, query=self._incomplete)

    def unbind(self, plan_id: str) -> Request:
        query = {"service_id": self.instance.service_id, "plan_id": plan_id, **self._incomplete}
        return request("DELETE", self.path, by=self.by, query=query)

    def poll(self, plan_id: str, operation: str | None) -> Request:
        query = {"service_id": self.instance.service_id, "plan_id": plan_id, "operation": operation}
        return request("GET", f"{self.path}/last_operation", by=self.by, query=query)

    def fetch(self) -> Request:
        return request("GET", self.path, by=None)
