"""An operator as a test needs one: real HTTP, and every answer checked for what holds of all answers."""

import secrets
from typing import Any, Self

import httpx

from broker.setting_values import OperatorCredentials, PlatformCredentials

PASSWORDS = {name: secrets.token_urlsafe(24) for name in ("kubernetes", "cloudfoundry")}
PLATFORMS = [PlatformCredentials(name, name, (password,)) for name, password in PASSWORDS.items()]
READER = OperatorCredentials("rita", "read", (secrets.token_hex(32),))
ALICE = OperatorCredentials("alice", "operate", (secrets.token_hex(32), secrets.token_hex(32)))
BOB = OperatorCredentials("bob", "operate", (secrets.token_hex(32),))
OPERATORS = (READER, ALICE, BOB)
ROOT = "/admin/v1"


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
        return answer

    def get(self, path: str, **query: Any) -> httpx.Response:
        return self.request("GET", path, params=query)

    def post(self, path: str, body: Any = None, **query: Any) -> httpx.Response:
        return self.request("POST", path, json=body, params=query)

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
