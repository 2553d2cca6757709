"""
How the values of settings are written, and what is refused.

Each reader raises ValueError with a sentence that shows no secret.
"""

import base64
import binascii
import ipaddress
import itertools
import json
import re
import ssl
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr


@dataclass(frozen=True)
class SealingKey:
    """A key that seals what may hold a secret; `key_id` is stored with each sealed value."""

    key_id: str
    key: bytes = field(repr=False)


@dataclass(frozen=True)
class PlatformCredentials:
    """A platform's name and what it shows to be believed; two passwords let one be replaced without a gap."""

    name: str
    username: str | None = None
    passwords: tuple[str, ...] = field(default=(), repr=False)
    bearer_tokens: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class OperatorCredentials:
    """Who may act as an operator, and how far; two tokens let one be replaced without a gap."""

    name: str
    role: Literal["read", "operate"]
    bearer_tokens: tuple[str, ...] = field(repr=False)
    username: None = None
    passwords: tuple[str, ...] = field(default=(), repr=False)


def _duration(value: Any) -> Any:
    """Read `30s`, `10m`, `2h`, `90d` or plain seconds."""
    if isinstance(value, str) and (read := re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?\s*", value)):
        units = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
        return timedelta(seconds=float(read[1]) * units[read[2] or "s"])
    return value


def _positive(value: timedelta) -> timedelta:
    if value <= timedelta(0):
        raise ValueError("must be longer than nothing")
    return value


AnyDuration = Annotated[timedelta, BeforeValidator(_duration), Field(ge=timedelta(0))]
Duration = Annotated[timedelta, BeforeValidator(_duration), AfterValidator(_positive)]


def _database_url(value: Any) -> Any:
    """Accept what people write and name the drivers that the broker uses."""
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if not isinstance(value, str):
        return value
    scheme, separator, rest = value.strip().partition("://")
    if scheme in {"postgresql", "postgres", "postgresql+psycopg"} and separator and rest:
        return f"postgresql+psycopg://{rest}"
    if scheme in {"sqlite", "sqlite+aiosqlite"} and separator:
        if not rest.startswith("/") or rest.strip("/") in {"", ":memory:"}:
            raise ValueError(
                "a SQLite database needs a file (sqlite:///relative.db or sqlite:////absolute.db)"
            )
        return f"sqlite+aiosqlite://{rest}"
    raise ValueError("must start with postgresql:// or sqlite:///")


DatabaseUrl = Annotated[SecretStr, BeforeValidator(_database_url)]


def _comma_list(value: Any) -> Any:
    """Read a list that is given as JSON or with commas."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        return json.loads(value)
    return [part.strip() for part in value.replace("\n", ",").split(",") if part.strip()]


def _sealing_key(text: str) -> SealingKey:
    key_id, colon, encoded = text.partition(":")
    if not colon or not re.fullmatch(r"[A-Za-z0-9._-]{1,32}", key_id):
        raise ValueError(
            "must read key-id:base64 with a key id of at most 32 letters, digits, '.', '_' or '-'"
        )
    try:
        key = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        raise ValueError(f"the key {key_id!r} is not base64") from None
    if len(key) != 32:
        raise ValueError(f"the key {key_id!r} has {len(key)} bytes instead of 32")
    if _is_well_known(key):
        raise ValueError(f"the key {key_id!r} is not random; make one with: openssl rand -base64 32")
    return SealingKey(key_id, key)


def _is_well_known(key: bytes) -> bool:
    """Tell whether a key was typed, counted or copied from an example rather than drawn at random."""
    # 32 random bytes hold some 30 distinct values; fewer than 16 happens less than once in 10^12 draws.
    if len(set(key)) < 16:
        return True
    steps = {(after - before) % 256 for before, after in itertools.pairwise(key)}
    # Random bytes are all printable once in 10^14 draws.
    return len(steps) == 1 or all(32 <= byte < 127 for byte in key)


def _sealing_keys(value: Any) -> Any:
    value = _comma_list(value)
    if not isinstance(value, list | tuple):
        raise ValueError("must be a list of key-id:base64")  # noqa: TRY004 - pydantic reads ValueErrors
    keys = tuple(item if isinstance(item, SealingKey) else _sealing_key(str(item)) for item in value)
    if not keys:
        raise ValueError("at least one key is needed; make one with: openssl rand -base64 32")
    if len({key.key_id for key in keys}) < len(keys) or len({key.key for key in keys}) < len(keys):
        raise ValueError("a key id or a key is given twice")
    return keys


SealingKeys = Annotated[tuple[SealingKey, ...], BeforeValidator(_sealing_keys)]

_PLATFORM_KEYS = {"username", "passwords", "bearer_tokens"}


def _json(value: Any) -> Any:
    try:
        return json.loads(value) if isinstance(value, str) else value
    except json.JSONDecodeError:
        raise ValueError("is not JSON") from None


def _platforms(value: Any) -> Any:
    """Read `{"name": {"username": ..., "passwords": [...], "bearer_tokens": [...]}}`."""
    value = _json(value)
    if isinstance(value, tuple) and all(isinstance(item, PlatformCredentials) for item in value):
        return value
    if not isinstance(value, dict):
        raise ValueError("must be an object: platform name to credentials")  # noqa: TRY004 - as above
    platforms = tuple(_platform(name, given) for name, given in value.items())
    for kind in ("username", "bearer token"):
        seen: set[str] = set()
        for platform in platforms:
            for item in [platform.username or ""] if kind == "username" else platform.bearer_tokens:
                if item and item in seen:
                    raise ValueError(f"{platform.name}: its {kind} belongs to another platform already")
                seen.add(item)
    return platforms


def _platform(name: str, given: Any) -> PlatformCredentials:
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,49}", name):
        raise ValueError("a platform's name has 1 to 50 lower-case letters, digits or '-'")
    if not isinstance(given, dict) or set(given) - _PLATFORM_KEYS:
        raise ValueError(f"{name}: allowed are {', '.join(sorted(_PLATFORM_KEYS))}")
    username, passwords, tokens = (
        given.get("username"),
        given.get("passwords", []),
        given.get("bearer_tokens", []),
    )
    if not all(
        isinstance(items, list) and all(isinstance(i, str) for i in items) for items in (passwords, tokens)
    ):
        raise ValueError(f"{name}: passwords and bearer_tokens are lists of strings")
    if bool(username) != bool(passwords) or not (passwords or tokens):
        raise ValueError(f"{name}: give a username with one or two passwords, or bearer_tokens")
    if len(passwords) > 2:
        raise ValueError(f"{name}: at most two passwords, the present and the next")
    if username is not None and (not isinstance(username, str) or ":" in username):
        raise ValueError(f"{name}: the username is text without a colon")
    if any(len(secret) < 16 for secret in (*passwords, *tokens)):
        raise ValueError(f"{name}: a password or token has at least 16 characters")
    return PlatformCredentials(name, username, tuple(passwords), tuple(tokens))


Platforms = Annotated[tuple[PlatformCredentials, ...], BeforeValidator(_platforms)]


_OPERATOR_KEYS = {"role", "tokens"}


def _operators(value: Any) -> Any:
    """Read `{"name": {"role": "read" or "operate", "tokens": [...]}}`."""
    value = _json(value)
    if isinstance(value, tuple) and all(isinstance(item, OperatorCredentials) for item in value):
        return value
    if not isinstance(value, dict):
        raise ValueError("must be an object: operator name to role and tokens")  # noqa: TRY004 - as above
    operators = tuple(_operator(name, given) for name, given in value.items())
    tokens = [token for operator in operators for token in operator.bearer_tokens]
    if len(set(tokens)) < len(tokens):
        raise ValueError("a token is given twice")
    return operators


def _operator(name: str, given: Any) -> OperatorCredentials:
    if not re.fullmatch(r"[a-z0-9][a-z0-9.@_-]{0,63}", name):
        raise ValueError("an operator's name has 1 to 64 lower-case letters, digits, '.', '@', '_' or '-'")
    if not isinstance(given, dict) or set(given) - _OPERATOR_KEYS:
        raise ValueError(f"{name}: allowed are {', '.join(sorted(_OPERATOR_KEYS))}")
    role, tokens = given.get("role"), given.get("tokens")
    if role not in {"read", "operate"}:
        raise ValueError(f"{name}: the role is 'read' or 'operate'")
    if not isinstance(tokens, list) or not 1 <= len(tokens) <= 2:
        raise ValueError(f"{name}: tokens is a list of one token, or of two, the present and the next")
    if not all(isinstance(token, str) and re.fullmatch(r"[\x21-\x7e]{32,}", token) for token in tokens):
        raise ValueError(
            f"{name}: a token has at least 32 visible ASCII characters; make one with: openssl rand -hex 32"
        )
    return OperatorCredentials(name, role, tuple(tokens))


Operators = Annotated[tuple[OperatorCredentials, ...], BeforeValidator(_operators)]


def _addresses(value: Any) -> Any:
    return tuple(str(ipaddress.IPv4Address(str(item))) for item in _comma_list(value))


Addresses = Annotated[tuple[str, ...], BeforeValidator(_addresses)]

_SCOPE = re.compile(r"/subscriptions/[^/\s]+(?:/resourceGroups/[^/\s]+)?", re.IGNORECASE)


def _scopes(value: Any) -> Any:
    scopes = tuple(str(item).rstrip("/") for item in _comma_list(value))
    for scope in scopes:
        if not _SCOPE.fullmatch(scope):
            raise ValueError(f"'{scope}' is no id of a subscription or of a resource group")
    return scopes


Scopes = Annotated[tuple[str, ...], BeforeValidator(_scopes)]


def _names(value: Any) -> Any:
    return tuple(str(item) for item in _comma_list(value))


KeyNames = Annotated[tuple[str, ...], BeforeValidator(_names)]


def _https(value: str) -> str:
    if not re.fullmatch(r"https://[^/\s?#@]+(/[^\s?#]*)?", value):
        raise ValueError("must be an https:// address")
    return value.rstrip("/")


HttpsUrl = Annotated[str, AfterValidator(_https)]


def _proxy(value: Any) -> Any:
    """Accept an HTTP proxy with or without a user; the password in it is a secret."""
    given = value.get_secret_value() if isinstance(value, SecretStr) else value
    fits = isinstance(given, str) and re.fullmatch(r"https?://([^/\s?#@]+@)?[^/\s?#@]+/?", given)
    if not fits or not _has_a_port_or_none(given):
        raise ValueError("must be http://host:port or http://user:password@host:port")
    return given


def _has_a_port_or_none(url: str) -> bool:
    """Tell whether what follows the host is a port; it may be a password that lacks its '@host', never to be shown."""
    try:
        return urlsplit(url).port != 0
    except ValueError:
        return False


ProxyUrl = Annotated[SecretStr, BeforeValidator(_proxy)]


_RESOURCE_TYPE = re.compile(r"[A-Za-z0-9.]+(/[A-Za-z0-9]+)+")
_API_VERSION = re.compile(r"\d{4}-\d{2}-\d{2}(-[a-z]+)?")


def _api_versions(value: Any) -> Any:
    """Read `{"Microsoft.X/servers": "2025-08-01"}` or `Microsoft.X/servers=2025-08-01` with commas."""
    if isinstance(value, str) and not value.lstrip().startswith("{"):
        pairs = [part.partition("=")[::2] for part in _comma_list(value)]
        value = {kind.strip(): version.strip() for kind, version in pairs}
        if len(value) < len(pairs):
            raise ValueError("a resource type is given twice")
    elif isinstance(value, str):
        try:
            value = json.loads(value)
        except json.JSONDecodeError:
            raise ValueError("is not JSON") from None
    if not isinstance(value, dict):
        raise ValueError("must be Type=api-version with commas between, or a JSON object")  # noqa: TRY004
    for kind, version in value.items():
        if not _RESOURCE_TYPE.fullmatch(str(kind)):
            raise ValueError(f"{kind!r} is no resource type such as Microsoft.Storage/storageAccounts")
        if not isinstance(version, str) or not _API_VERSION.fullmatch(version):
            raise ValueError(f"{kind}: {version!r} is no api-version such as 2025-08-01")
    if len({str(kind).lower() for kind in value}) < len(value):
        raise ValueError("a resource type is given twice")
    return value


ApiVersionOverrides = Annotated[dict[str, str], BeforeValidator(_api_versions)]


def _readable(value: Path) -> Path:
    try:
        with value.open("rb"):
            return value
    except OSError as fault:
        raise ValueError(f"{value} cannot be read: {fault.strerror}") from None


ReadableFile = Annotated[Path, AfterValidator(_readable)]


def _certificates(value: Path) -> Path:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(value)
    except ssl.SSLError:
        raise ValueError(f"{value} holds no certificates in PEM form") from None
    return value


CertificatesFile = Annotated[ReadableFile, AfterValidator(_certificates)]


def _folder(value: Path) -> Path:
    if not value.is_dir():
        raise ValueError(f"{value} is no folder")
    return value


Folder = Annotated[Path, AfterValidator(_folder)]
Paths = Annotated[tuple[Path, ...], BeforeValidator(_comma_list)]


def _offerings(value: tuple[str, ...]) -> tuple[str, ...]:
    if not value or (len(value) > 1 and {"all", "none"} & set(value)):
        raise ValueError("must be 'all', 'none', or names of offerings with commas between")
    return value


OfferingNames = Annotated[tuple[str, ...], BeforeValidator(_comma_list), AfterValidator(_offerings)]
Port = Annotated[int, Field(ge=0, le=65535)]
