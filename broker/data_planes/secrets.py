"""Passwords and login names that the broker makes."""

from __future__ import annotations

import base64
import hashlib
import secrets
import string

# None of these needs encoding in a URL, and no Azure database refuses one of them.
_SYMBOLS = "~_.-"
_CLASSES = (string.ascii_uppercase, string.ascii_lowercase, string.digits, _SYMBOLS)
_LENGTH = 32
# 160 bits: two keys do not meet in one name.
_HASH_BYTES = 20
_LONGEST_PREFIX = 20
_SHORTEST_KEY = 20


def generated_password() -> str:
    """
    A new password: 32 characters, a letter first, an upper-case and a lower-case letter, a digit and a
    symbol among them. Drawn evenly from all such passwords by the system's cryptographic source.

    Azure wants 8 to 128 characters of three of these four classes.
    """
    while True:
        drawn = "".join(secrets.choice("".join(_CLASSES)) for _ in range(_LENGTH))
        if drawn[0].isalpha() and all(set(drawn) & set(characters) for characters in _CLASSES):
            return drawn


def generated_username(prefix: str, key: str, *, longest: int = 53) -> str:
    """
    The login name that belongs to *key*: the same key gives the same name, every time.

    At most *longest* characters of lower-case letters, digits and underscore, so that no database cuts, folds
    or quotes it, and never a name that PostgreSQL or Azure keeps for itself.

    Args:
        prefix: One to twenty lower-case letters, digits or underscores, a letter first.
        key: What the login is for, a binding's surrogate key for instance.
        longest: Up to 53; each character less is five bits less of 160.

    Raises:
        ValueError: The prefix does not fit, or leaves less than 100 bits.
    """
    allowed = set(string.ascii_lowercase + string.digits + "_")
    if not prefix or len(prefix) > _LONGEST_PREFIX or not prefix[0].isalpha() or set(prefix) - allowed:
        raise ValueError(f"{prefix!r} cannot begin a login name: lower-case letters, digits, underscores.")
    if prefix.startswith(("pg_", "azure")):
        raise ValueError(f"{prefix!r} begins the names that the server keeps for itself.")
    digest = hashlib.blake2b(key.encode(), digest_size=_HASH_BYTES, person=b"osb-login").digest()
    name = f"{prefix}_{base64.b32encode(digest).decode().lower()}"[:longest]
    if len(name) - len(prefix) - 1 < _SHORTEST_KEY:
        raise ValueError(f"{prefix!r} is too long for a login name of {longest} characters.")
    return name
