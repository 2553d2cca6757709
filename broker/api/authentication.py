"""Which platform sends a request: its credentials, compared in constant time."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Iterable, Sequence
from typing import Protocol


class Credentials(Protocol):
    """A platform and what it shows to be believed; a second password allows rotation without a gap."""

    @property
    def name(self) -> str: ...
    @property
    def username(self) -> str | None: ...
    @property
    def passwords(self) -> Sequence[str]: ...
    @property
    def bearer_tokens(self) -> Sequence[str]: ...


class Authentication:
    """
    Tells platforms apart by the Authorization header, Basic or Bearer.

    What is sent is digested under a key drawn at the start, and the digest is compared with that of every
    platform: neither the time of a digest nor that of the comparison tells how much of a guess was right,
    or whether a user name exists.
    """

    def __init__(self, platforms: Iterable[Credentials]) -> None:
        self._key = secrets.token_bytes(32)
        self._known: list[tuple[bytes, str]] = []
        for platform in platforms:
            for password in platform.passwords:
                shown = f"{platform.username or ''}:{password}".encode()
                self._known.append((self._digest(b"basic", shown), platform.name))
            for token in platform.bearer_tokens:
                self._known.append((self._digest(b"bearer", token.encode()), platform.name))

    def platform(self, authorization: bytes | None) -> str | None:
        """Return the name of the platform whose credentials these are; None if they are nobody's."""
        scheme, _, shown = (authorization or b"").partition(b" ")
        scheme = scheme.lower()
        if scheme == b"basic":
            try:
                shown = base64.b64decode(shown.strip(), validate=True)
            except binascii.Error:
                return None
        elif scheme == b"bearer":
            shown = shown.strip()
        else:
            return None
        digest = self._digest(scheme, shown)
        found = None
        for known, name in self._known:
            if hmac.compare_digest(known, digest):
                found = name
        return found

    def _digest(self, scheme: bytes, shown: bytes) -> bytes:
        return hmac.digest(self._key, scheme + b"\0" + shown, hashlib.sha256)
