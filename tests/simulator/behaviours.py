"""
Writes the list of what the simulator does as Azure does, `behaviours.yaml`, into docs/simulator.md.

`python -m tests.simulator.behaviours`
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

LIST = Path(__file__).with_suffix(".yaml")
PAGE = Path(__file__).parent.parent.parent / "docs" / "simulator.md"
HEADING = "## What it does as Azure does"
SOURCES = {
    "documented": "in Microsoft's documentation",
    "recorded": "in replies that clients of Azure have recorded or reported",
    "SDK": "in Microsoft's typed SDKs",
    "believed": "none of these",
}


@dataclass(frozen=True)
class Behaviour:
    """One thing that Azure does; *tests* are `file::test`, below tests/."""

    part: str
    what: str
    source: str
    tests: tuple[str, ...]

    @property
    def row(self) -> str:
        return f"| {self.what} | {self.source} | {', '.join(f'`{test}`' for test in self.tests)} |"


def behaviours() -> Iterator[Behaviour]:
    """All of them, in the order of the list."""
    for part, listed in yaml.safe_load(LIST.read_text(encoding="utf-8")).items():
        for each in listed:
            yield Behaviour(part, each["what"], each["known from"], tuple(each["tests"]))


def section() -> str:
    """The section of docs/simulator.md."""
    words = "; ".join(f"*{word}*: {meaning}" for word, meaning in SOURCES.items())
    lines = [
        HEADING,
        "",
        "Each behaviour, where it is known from, and the tests below `tests/` that show it here.",
        f"Known from: {words}.",
        "Nothing was compared with a live Azure. `python -m tests.simulator.behaviours` writes this section.",
    ]
    part = None
    for behaviour in behaviours():
        if behaviour.part != part:
            part = behaviour.part
            lines += ["", f"### {part}", "", "| what | known from | shown by |", "|---|---|---|"]
        lines.append(behaviour.row)
    return "\n".join(lines) + "\n"


def main() -> None:
    """Put the section in the place of what the page has under its heading."""
    before, _, after = PAGE.read_text(encoding="utf-8").partition(HEADING)
    _, heading, rest = after.partition("\n## ")
    PAGE.write_text(f"{before.rstrip()}\n\n{section()}{heading}{rest}", encoding="utf-8")


if __name__ == "__main__":
    main()
