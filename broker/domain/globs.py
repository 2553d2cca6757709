"""Patterns as operators write them: `*` stands for any text, `?` for one character. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

_ANY, _ONE = object(), object()


@dataclass(frozen=True)
class Pattern:
    """
    A text in which `*` stands for any text (none, too) and `?` for one character; a backslash takes their meaning away.

    Nothing else means anything: no brackets, no case folding, no normal forms of Unicode. A name is one that the
    pattern spells, code point by code point, or it is another name.
    """

    text: str

    def matches(self, value: str) -> bool:
        """Tell whether the pattern stands for *value*, in time that grows with its length alone."""
        if self._plain is not None:
            return self._plain == value
        return self._expression.fullmatch(value) is not None

    def covers(self, other: Pattern) -> bool:
        """Tell whether it is certain that whatever *other* matches is matched by this one, too."""
        mine, theirs = self._tokens, other._tokens
        # covered[j]: what is left of mine covers what is left of theirs from j on; filled from both ends.
        covered = [False] * len(theirs) + [True]
        for token in reversed(mine):
            shorter, covered = covered, [False] * (len(theirs) + 1)
            for j in range(len(theirs), -1, -1):
                more = j < len(theirs)
                if token is _ANY:
                    covered[j] = shorter[j] or (more and covered[j + 1])
                elif more and theirs[j] is not _ANY and (token is _ONE or token == theirs[j]):
                    covered[j] = shorter[j + 1]
        return covered[0]

    @cached_property
    def _tokens(self) -> tuple[object, ...]:
        found: list[object] = []
        escaped = False
        for character in self.text:
            if escaped or character not in "*?\\":
                found.append(character)
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == "?":
                found.append(_ONE)
            elif not found or found[-1] is not _ANY:
                found.append(_ANY)
        return tuple([*found, "\\"] if escaped else found)

    @cached_property
    def _plain(self) -> str | None:
        """The one text that it stands for, if it is one."""
        if _ANY in self._tokens or _ONE in self._tokens:
            return None
        return "".join(map(str, self._tokens))

    @cached_property
    def _expression(self) -> re.Pattern[str]:
        pieces = [""]
        for token in self._tokens:
            if token is _ANY:
                pieces.append("")
            else:
                pieces[-1] += "." if token is _ONE else re.escape(str(token))
        first, *more = pieces
        if not more:
            return re.compile(first, re.DOTALL)
        # Atomic groups: what a star took is never given back, or a name could be made to take hours.
        between = "".join(f"(?>.*?{piece})" for piece in more[:-1])
        return re.compile(f"{first}{between}.*{more[-1]}", re.DOTALL)


@dataclass(frozen=True)
class PlanPattern:
    """Which plans are meant: `OFFERING/PLAN` by their names, each half a pattern; without a slash, all of them."""

    text: str

    def matches(self, offering: str, plan: str) -> bool:
        """Tell whether the plan *plan* of the offering *offering* is meant."""
        of_offering, of_plan = self._halves
        return of_offering.matches(offering) and of_plan.matches(plan)

    def covers(self, other: PlanPattern) -> bool:
        """Tell whether it is certain that each plan that *other* means is meant by this one, too."""
        return all(mine.covers(theirs) for mine, theirs in zip(self._halves, other._halves, strict=True))

    @cached_property
    def _halves(self) -> tuple[Pattern, Pattern]:
        offering, _, plan = self.text.partition("/")
        return Pattern(offering), Pattern(plan or "*")
