"""An operator as a test needs one: real HTTP, and every answer checked for what holds of all answers."""

import re
import secrets
from typing import Any, Self

import httpx
from jsonschema import Draft202012Validator

from broker.api.admin.application import admin_routes
from broker.setting_values import OperatorCredentials, PlatformCredentials

PASSWORDS = {name: secrets.token_urlsafe(24) for name in ("kubernetes", "cloudfoundry")}
PLATFORMS = [PlatformCredentials(name, name, (password,)) for name, password in PASSWORDS.items()]
READER = OperatorCredentials("rita", "read", (secrets.token_hex(32),))
ALICE = OperatorCredentials("alice", "operate", (secrets.token_hex(32), secrets.token_hex(32)))
BOB = OperatorCredentials("bob", "operate", (secrets.token_hex(32),))
OPERATORS = (READER, ALICE, BOB)
ROOT = "/admin/v1"


def _as_pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\{\w+\}", "[^/]+", path))


DESCRIBED = [(_as_pattern(path), methods) for path, methods in admin_routes().openapi()["paths"].items()]


def check_described(method: str, path: str, status: int, body: Any) -> None:
    """Compare an answer with what the API's description says of it."""
    found = [methods[method.lower()] for pattern, methods in DESCRIBED if pattern.fullmatch(ROOT + path)]
    if not found:
        assert status == 404 or path == "/openapi.json"
        return
    described = found[0]["responses"].get(str(status))
    assert described is not None, f"{method} {path} answers {status}, which is not described"
    schema = described["content"]["application/json"]["schema"]
    Draft202012Validator(schema).validate(body)


class Desk:
    """One operator's client."""

    def __init__(self, url: str, name: str, token: str) -> None:
        self.name = name
        self._client = httpx.Client(
            base_url=url + ROOT, headers={"Authorization": f"Bearer {token}"}, timeout=60
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        answer = self._client.request(method, path, **options)
        assert answer.headers["content-type"] == "application/json"
        body = answer.json()
        assert isinstance(body, dict)
        if answer.status_code >= 400:
            assert body["error"]
            assert len(body["description"]) > 20
        check_described(method, path, answer.status_code, body)
        return answer

    def get(self, path: str, **query: Any) -> httpx.Response:
        return self.request("GET", path, params=query)

    def post(self, path: str, body: Any = None, **query: Any) -> httpx.Response:
        return self.request("POST", path, json=body, params=query)

    def deed(
        self, path: str, reason: str = "A test.", *, platform: str | None = None, **body: Any
    ) -> httpx.Response:
        """Have something done."""
        query = {"platform": platform} if platform else {}
        return self.post(path, {"reason": reason, **body}, **query)

    def audited(self, what: str) -> list[dict[str, Any]]:
        """What the audit says about something, the oldest first."""
        return self.all("/audit", object=what)[::-1]

    def running(self, instance_id: str) -> dict[str, Any]:
        """The operation in progress on an instance or its bindings; there is one."""
        (found,) = self.all("/operations", instance_id=instance_id, status="in progress")
        return found

    def all(self, path: str, **query: Any) -> list[dict[str, Any]]:
        """Each item of a list, through all its pages."""
        found: list[dict[str, Any]] = []
        cursor = None
        while True:
            answer = self.get(path, **query, **({"cursor": cursor} if cursor else {}))
            assert answer.status_code == 200, answer.text
            found += answer.json()["items"]
            cursor = answer.json().get("next")
            if cursor is None:
                return found
