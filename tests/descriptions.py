"""When a description of a failure is of no use to the person who reads it."""

import re

MOST = 1000

_ADVICE = re.compile(
    r"\b(again|operator|owner|choose|correct|order|delete|deprovision|unbind|bind|give|shorten|fetch|read|send|repeat|"
    r"repeated|retry|exemption|change|once|purge|wait|waits|tried|looks|use|ask)\b",
    re.IGNORECASE,
)
_NAMED = re.compile(r"'[^']+'|\"[^\"]+\"|\b[\w.-]+\.[\w.-]+\.[\w.-]+\b")
_BARE_EXCEPTION = re.compile(r"^\W*\w+(Error|Exception|Failure|Failed)\b\W*$")
_EMPTY_WORDS = re.compile(
    r"\bNone\b|\bnull\b|unknown error|an error occurred|Traceback|\bNoneType\b|^It failed\.?$|<\w+ object|\{\}",
    re.IGNORECASE,
)
_GUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_OURS_TO_QUOTE = re.compile(
    rf"\b(?:correlation|request|operation|instance|binding) '?{_GUID}'?", re.IGNORECASE
)


def faults_of(
    description: str, *, names_something: bool = True, known_ids: tuple[str, ...] = ()
) -> list[str]:
    """
    Say why *description* is useless; empty for a good one.

    A good one is one line of at most 1000 characters, is more than an exception's name or a phrase that says nothing,
    names what it is about (in quotes, or as a host), says what to do, and shows neither resource ids nor GUIDs but
    those to quote when asking for help, and *known_ids*, which the reader chose.
    """
    faults = []
    if len(description.split()) < 4:
        faults.append("hardly a word")
    if "\n" in description or "\r" in description:
        faults.append("more than one line")
    if len(description) > MOST:
        faults.append(f"{len(description)} characters")
    if _BARE_EXCEPTION.match(description):
        faults.append("the name of an exception")
    if found := _EMPTY_WORDS.search(description):
        faults.append(f"says nothing: {found[0]}")
    if names_something and not _NAMED.search(description):
        faults.append("names no resource")
    if not _ADVICE.search(description):
        faults.append("says nothing of what to do")
    if "/subscriptions/" in description.lower():
        faults.append("shows a resource id")
    rest = _OURS_TO_QUOTE.sub("", description)
    for known in known_ids:
        rest = rest.replace(known, "")
    if found := re.search(_GUID, rest, re.IGNORECASE):
        faults.append(f"shows an id: {found[0]}")
    return faults
