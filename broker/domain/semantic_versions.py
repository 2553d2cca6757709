"""The order of semantic versions (semver.org, version 2.0, section 11)."""

from __future__ import annotations

from typing import TypeAlias

Key: TypeAlias = tuple[tuple[int, ...], bool, tuple[tuple[bool, int, str], ...]]


def order(version: str) -> Key:
    """
    Return what sorts as the version does: a pre-release before its release, build metadata for nothing.

    Raises:
        ValueError: It is no semantic version.
    """
    release, _, pre_release = version.partition("+")[0].partition("-")
    numbers = tuple(int(number) for number in release.split("."))
    identifiers = tuple(
        (False, int(word), "") if word.isdecimal() else (True, 0, word)
        for word in (pre_release.split(".") if pre_release else ())
    )
    return numbers, not pre_release, identifiers


def raised(before: str | None, after: str | None) -> bool:
    """Tell whether *after* is the higher version; any is higher than none."""
    if after is None or before is None:
        return after is not None
    return order(after) > order(before)
