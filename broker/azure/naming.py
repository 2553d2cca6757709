"""Names and tags of what the broker makes, derived and never drawn. Pure."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from string import ascii_lowercase, digits
from urllib.parse import quote
from uuid import UUID

LOWER_AND_DIGITS = ascii_lowercase + digits
LOWER_DIGITS_HYPHEN = LOWER_AND_DIGITS + "-"

HASH_CHARACTERS = 26
"""130 bits: more would only make names harder to read."""

MIN_HASH_CHARACTERS = 12
"""60 bits: with a million instances, one clash in about two million such brokers."""

BROKER_TAG = "osb-broker-id"
PLATFORM_TAG = "osb-platform"
INSTANCE_TAG = "osb-instance-id"
GENERATION_TAG = "osb-generation"
ADOPTED_TAG = "osb-adopted"
"""Besides the four, of what was there before the broker: without a record it is no orphan, and nobody's to delete."""

MAX_TAG_VALUE = 256
_HASHED = "sha256-"


@dataclass(frozen=True)
class NameRule:
    """
    What a product accepts as a name: *prefix* first, at most *max_length* characters, all from *alphabet*.

    Raises:
        ValueError: The prefix is no legal beginning, or no room is left for a hash.
    """

    prefix: str
    max_length: int
    alphabet: str = LOWER_DIGITS_HYPHEN

    def __post_init__(self) -> None:
        if not self.prefix or not self.prefix[0].isalpha():
            raise ValueError("A name's prefix begins with a letter; some products insist.")
        if not set(self.prefix) <= set(self.alphabet):
            raise ValueError(f"The prefix {self.prefix!r} has characters that the product does not take.")
        if not set(LOWER_AND_DIGITS) <= set(self.alphabet):
            raise ValueError("A hash needs lower-case letters and digits in the alphabet.")
        if self.max_length - len(self.prefix) < MIN_HASH_CHARACTERS:
            raise ValueError(
                f"The prefix {self.prefix!r} leaves fewer than {MIN_HASH_CHARACTERS} characters."
            )


def external_name(rule: NameRule, broker_id: str, platform: str, instance_id: str, generation: int) -> str:
    """
    Return the name under which this instance's resource is made, always the same for the same four.

    *generation* rises when an id is used again or a name is found taken, and gives another name.
    """
    digest = hashlib.sha256(_unambiguous(broker_id, platform, instance_id, str(generation))).digest()
    word = base64.b32encode(digest).decode("ascii").lower().rstrip("=")
    return rule.prefix + word[: min(HASH_CHARACTERS, rule.max_length - len(rule.prefix))]


def _unambiguous(*parts: str) -> bytes:
    """Encode *parts* with their lengths: no two different tuples give the same bytes."""
    encoded = [part.encode("utf-8", "surrogatepass") for part in parts]
    return b"".join(len(part).to_bytes(8, "big") + part for part in encoded)


def tags(broker_id: str, platform: str, instance_id: str, generation: int) -> dict[str, str]:
    """Return the four tags that mark a resource as this instance's; different instances get different ones."""
    return {
        BROKER_TAG: _tag_value(broker_id),
        PLATFORM_TAG: _tag_value(platform),
        INSTANCE_TAG: _tag_value(instance_id),
        GENERATION_TAG: str(generation),
    }


def _tag_value(value: str) -> str:
    """Percent-encode what some product's tags do not take; hash what is too long."""
    encoded = quote(value, safe="-._~:", errors="surrogatepass")
    if len(encoded) <= MAX_TAG_VALUE and not encoded.startswith(_HASHED):
        return encoded
    return _HASHED + hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()


def is_ours(found: Mapping[str, object] | None, expected: Mapping[str, str]) -> bool:
    """
    Tell whether a resource with the tags *found* is the one that *expected* describes; all four must match.

    Azure keeps no case in the names of tags, but in their values.
    """
    lowered = {name.lower(): value for name, value in (found or {}).items()}
    names = (BROKER_TAG, PLATFORM_TAG, INSTANCE_TAG, GENERATION_TAG)
    return all(name in expected and lowered.get(name) == expected[name] for name in names)


def deployment_name(instance_key: UUID, operation_id: UUID) -> str:
    """
    Return the name of the one deployment of an operation.

    One name per operation: under a name used twice, a look at the second one would find the first one's success.
    """
    return f"osb-{instance_key.hex}-{operation_id.hex[:8]}"
