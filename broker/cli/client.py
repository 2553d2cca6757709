"""
The one HTTP client of the admin API, and what its commands have in common.

Exit status: 0 done; 1 refused or failed; 2 wrong usage or profile; 3 the broker cannot be reached; 4 the token is not
accepted or its role does not suffice; 5 there is no such thing; 6 it still goes on.
"""

import contextlib
import ssl
import sys
from collections.abc import Iterator, Mapping
from enum import IntEnum
from types import TracebackType
from typing import Annotated, Any, Self
from urllib.parse import quote

import typer

from broker.cli import profiles

ROOT = "/admin/v1"
_ANSWERS_WITHIN = 60.0
_CONNECTS_WITHIN = 10.0


class Exit(IntEnum):
    """The exit status of a command that talks to a broker."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    NOT_ALLOWED = 4
    NOT_FOUND = 5
    GOES_ON = 6


_EXIT_OF = {401: Exit.NOT_ALLOWED, 403: Exit.NOT_ALLOWED, 404: Exit.NOT_FOUND, 410: Exit.NOT_FOUND}


class Refused(Exception):
    """The broker, or the way to it, refused; the sentence is for the operator."""

    def __init__(self, sentence: str, status: Exit = Exit.FAILED) -> None:
        super().__init__(sentence)
        self.status = status


def _profile_names(incomplete: str) -> list[str]:
    with contextlib.suppress(profiles.ProfileError):
        return [name for name in profiles.names() if name.startswith(incomplete)]
    return []


ProfileName = Annotated[
    str | None,
    typer.Option("--profile", help="Which broker, by its profile.", autocompletion=_profile_names),
]


class AdminClient:
    """Asks the admin API of one broker; use it as a context manager."""

    def __init__(self, profile: profiles.Profile) -> None:
        import httpx

        self._profile = profile
        try:
            trust = ssl.create_default_context(cafile=profile.ca_file)
        except (ssl.SSLError, OSError):
            raise Refused(f"{profile.ca_file} holds no certificates in PEM form.", Exit.USAGE) from None
        self._http = httpx.Client(
            base_url=profile.url + ROOT,
            headers={"Authorization": f"Bearer {profile.token}"},
            verify=trust,
            timeout=httpx.Timeout(_ANSWERS_WITHIN, connect=_CONNECTS_WITHIN),
            # A proxy of the environment's would be sent the token in clear: without TLS nothing leaves this machine.
            trust_env=profile.url.startswith("https:"),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _fault: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._http.close()

    def get(self, path: str, query: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Ask; parameters that are None or empty are left out."""
        return self._asked("GET", path, params=_present(query or {}))

    def post(
        self, path: str, body: Mapping[str, Any], query: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Have something done."""
        return self._asked("POST", path, json=dict(body), params=_present(query or {}))

    def items(
        self, path: str, query: Mapping[str, Any], *, at_most: int
    ) -> tuple[list[dict[str, Any]], bool]:
        """Return the items of a list, page by page, and whether there are more than *at_most*."""
        found: list[dict[str, Any]] = []
        cursor = None
        while True:
            page = self.get(path, {**query, "limit": min(at_most - len(found), 500), "cursor": cursor})
            found += page["items"]
            cursor = page.get("next")
            if cursor is None or len(found) >= at_most:
                return found, cursor is not None

    def _asked(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        import httpx

        where = self._profile.url
        try:
            answer = self._http.request(method, path, **options)
        except httpx.ConnectError as fault:
            if isinstance(_first_cause(fault), ssl.SSLError):
                raise Refused(
                    f"{where} does not prove who it is: {_first_cause(fault)}. If its certificate is of an authority "
                    "of your own, name that one as ca_file in the profile, or in OSB_CA_FILE.",
                    Exit.UNREACHABLE,
                ) from None
            raise Refused(f"{where} cannot be reached: {fault}.", Exit.UNREACHABLE) from None
        except httpx.TimeoutException:
            raise Refused(
                f"{where} did not answer in time; what was asked for may have been done.", Exit.UNREACHABLE
            ) from None
        except httpx.HTTPError as fault:
            raise Refused(
                f"The connection to {where} broke: {fault}. What was asked for may have been done.",
                Exit.UNREACHABLE,
            ) from None
        return self._read(answer.status_code, answer.content)

    def _read(self, status: int, content: bytes) -> dict[str, Any]:
        import json

        try:
            body = json.loads(content)
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise Refused(
                f"{self._profile.url} answered {status} and no JSON: is that a broker?", Exit.UNREACHABLE
            )
        if status >= 400:
            raise Refused(
                f"{body.get('description') or 'No reason was given.'} ({status} {body.get('error', '')})",
                _EXIT_OF.get(status, Exit.FAILED),
            )
        return body


@contextlib.contextmanager
def admin_client(profile: str | None) -> Iterator[AdminClient]:
    """Connect as the profile says; a refusal ends the command with one line and an exit status that tells which."""
    try:
        with AdminClient(profiles.chosen(profile)) as client:
            yield client
    except profiles.ProfileError as fault:
        print(fault, file=sys.stderr)
        sys.exit(Exit.USAGE)
    except Refused as refusal:
        print(refusal, file=sys.stderr)
        sys.exit(refusal.status)


def part(text: str) -> str:
    """Write an id as one part of a path."""
    return quote(text, safe="")


def _present(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: ("true" if value is True else value)
        for name, value in values.items()
        if value is not None and value is not False and value not in ([], ())
    }


def _first_cause(fault: BaseException) -> BaseException:
    while fault.__cause__ is not None or fault.__context__ is not None:
        fault = fault.__cause__ or fault.__context__ or fault
    return fault
