"""Values that may hold a secret, encrypted at rest."""

from __future__ import annotations

import os
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from broker.store.errors import SealBroken

KEY_BYTES = 32
_NONCE_BYTES = 12
_FORMAT = 1


class KeyRing:
    """
    AES-256-GCM under named keys: the first one seals, all of them open.

    To change the key put a new one in front and keep the old one until no value names it any more. A sealed
    value is the format (one byte), the length and name of its key, a random nonce, and the ciphertext with
    its tag. It is bound to its place (table, column, row), so a value copied to another row does not open.

    Raises:
        ValueError: No key, a key of another length than 32 bytes or of one repeated byte, or a name used twice.
    """

    def __init__(self, keys: Sequence[tuple[str, bytes]]) -> None:
        if not keys:
            raise ValueError("The key ring holds no key.")
        self._ciphers: dict[bytes, AESGCM] = {}
        for name, key in keys:
            encoded = name.encode()
            if not 0 < len(encoded) < 256 or encoded in self._ciphers:
                raise ValueError(f"Key name {name!r} is empty, too long or used twice.")
            if len(key) != KEY_BYTES or len(set(key)) == 1:
                raise ValueError(f"Key {name!r} is not 32 random bytes.")
            self._ciphers[encoded] = AESGCM(key)
        self._newest = keys[0][0].encode()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the keys, the one that seals first."""
        return tuple(name.decode() for name in self._ciphers)

    @property
    def newest_head(self) -> bytes:
        """How every value begins that the newest key has sealed."""
        return bytes((_FORMAT, len(self._newest))) + self._newest

    def seal(self, value: bytes, *, place: str) -> bytes:
        """Encrypt *value* for *place* under the newest key; twice gives two different texts."""
        nonce = os.urandom(_NONCE_BYTES)
        head = self.newest_head
        sealed = self._ciphers[self._newest].encrypt(nonce, value, _bound_to(head, place))
        return head + nonce + sealed

    def unseal(self, sealed: bytes, *, place: str) -> bytes:
        """
        Decrypt what was sealed for the same *place*.

        Raises:
            SealBroken: The key is missing, or the value was changed or belongs elsewhere.
        """
        head, rest = _split(sealed, place)
        cipher = self._ciphers.get(head[2:])
        if cipher is None:
            name = head[2:].decode(errors="replace")
            raise SealBroken(f"The key '{name}' that sealed {place} is not in the key ring.", key=name)
        try:
            return cipher.decrypt(rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], _bound_to(head, place))
        except InvalidTag:
            raise SealBroken(
                f"The sealed value at {place} was changed, moved, or sealed by another key.",
                key=head[2:].decode(errors="replace"),
            ) from None


def key_name(sealed: bytes) -> str:
    """Return the name of the key that sealed this value; tells when an old key may be dropped."""
    return _split(sealed, "a value")[0][2:].decode()


def _split(sealed: bytes, place: str) -> tuple[bytes, bytes]:
    if len(sealed) < 2 or sealed[0] != _FORMAT:
        raise SealBroken(f"The sealed value at {place} has an unknown form.")
    end = 2 + sealed[1]
    return sealed[:end], sealed[end:]


def _bound_to(head: bytes, place: str) -> bytes:
    return head + b"\0" + place.encode()
