"""
Files that want to take for ever, fill the memory or run something. Run as a program it reads each of them with
little memory and writes down what came of it.
"""

import json
import resource
import sys
import time
from pathlib import Path

from broker.azure_models import TEAMS_FOLDER
from broker.catalog.reader import read_sources
from broker.catalog.sources import LARGEST_FILE, Source
from broker.shipped import shipped

ROOM = LARGEST_FILE - 200
MEMORY = 160 * 1024 * 1024
"""In bytes, beyond what the program has before it reads the first of them."""

BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{after}: &{after} [{', '.join(['*' + before] * 10)}]\n"
    for before, after in zip("abcdefghi", "bcdefghij", strict=True)
)


def filled(piece: str) -> str:
    return piece * (ROOM // len(piece.encode()))


YAML: dict[str, bytes | str] = {
    "an alias bomb": BOMB,
    "an anchor at the top": "&a\na: 1",
    "an alias to itself": "&a [*a]",
    "merge keys": "a: {x: 1}\nb:\n  <<: {x: 2}",
    "deep lists in a line": filled("["),
    "deep objects in a line": filled("{a: "),
    "deep lists, line by line": filled("- "),
    "deep objects by indentation": "".join(" " * depth + "a:\n" for depth in range(600)),
    "deep explicit keys": filled("? "),
    "deep list as a key": "? " + "[" * 1000 + "]" * 1000 + "\n: 1",
    "many documents": filled("---\n"),
    "many keys": "".join(f"k{number}: 1\n" for number in range(20_000)),
    "a key twice after many": "".join(f"k{number}: 1\n" for number in range(20_000)) + "k0: 2",
    "one long key": "k" * ROOM + ": 1",
    "a long list": "plans:\n" + "- {}\n" * 40_000,
    "an integer of many digits": "id: " + "9" * ROOM,
    "a hexadecimal of many digits": "id: 0x" + "f" * ROOM,
    "a number in many parts": "id: 1" + ":1" * (ROOM // 2 - 10),
    "a number of dashes": "id: 1" + "_" * ROOM,
    "a fraction of many digits": "id: 1." + "9" * ROOM + "e",
    "an exponent": "id: 1.0e+999999999",
    "infinity": "id: .inf",
    "octal, or is it": "id: 0777",
    "a country": "id: no",
    "a time of day": "id: 12:30:45",
    "a quote without end": "id: '" + filled("''"),
    "escapes without end": 'id: "' + filled("\\n"),
    "a text over many lines": "id: " + filled("a\n  "),
    "a folded text": "id: >\n" + filled(" \n"),
    "commas": filled(","),
    "colons": filled(":"),
    "colons in a row": filled("a: "),
    "tabs": "plans:\n\t- id: a",
    "only tabs": filled("\t"),
    "exclamation marks": filled("!"),
    "a tag that runs something": "!!python/object/apply:os.system ['touch /tmp/never']",
    "a tag of bytes": "id: !!binary aGVsbG8=",
    "a tag of a set": "tags: !!set {a, b}",
    "a tag without a name": "id: ! 5",
    "directives": filled("%TAG ! tag:a:\n"),
    "an unknown version": "%YAML 9.9\n---\na: 1",
    "a NUL": "id: a\0b",
    "a NUL by its escape": 'id: "a\\0b"',
    "a bell by its escape": 'description: "\\a"',
    "half a character": 'description: "\\ud83d"',
    "UTF-16": "id: a".encode("utf-16"),
    "UTF-16 without a mark": "id: a".encode("utf-16-le"),
    "UTF-32": "id: a".encode("utf-32"),
    "a byte order mark": b"\xef\xbb\xbfid: a",
    "Latin 1": "description: Größe".encode("latin-1"),
    "bytes at random": bytes(range(256)) * 1000,
    "overlong UTF-8": b"id: \xc0\xaf",
    "nothing": "",
    "only a remark": "# nothing",
    "a list": "- a",
    "a word": "offering",
    "a null": "~",
    "a key of null": "~: 1",
    "a number as a key": "1: 1",
    "a template elsewhere": "template: ../../../../etc/passwd",
}
JSON: dict[str, bytes | str] = {
    "deep lists": filled("["),
    "deep objects": filled('{"a":'),
    "deep, but closed": '{"resources": ' + "[" * 900 + "]" * 900 + "}",
    "deep outputs": '{"resources": [], "outputs": ' + '{"a":' * 500 + "1" + "}" * 501,
    "an integer of many digits": '{"resources": [' + "9" * (ROOM - 20) + "]}",
    "an integer beyond all readers": '{"resources": [9007199254740993]}',
    "a fraction that is infinite": '{"resources": [1e999]}',
    "a fraction of many digits": '{"resources": [1.' + "9" * (ROOM - 20) + "e400]}",
    "NaN": '{"resources": [NaN]}',
    "a key twice": '{"resources": [], "resources": []}',
    "half a character": '{"resources": ["\\ud83d"]}',
    "a NUL": '{"resources": ["\\u0000"]}',
    "half a character as a key": '{"resources": [{"\\udc00": 1}]}',
    "a byte order mark": b'\xef\xbb\xbf{"resources": []}',
    "UTF-16": '{"resources": []}'.encode("utf-16"),
    "invalid UTF-8": b'{"resources": ["\xff"]}',
    "many resources": '{"resources": [' + ",".join(["{}"] * 60_000) + "]}",
    "many bad resources": '{"resources": [' + ",".join(["1"] * 60_000) + "]}",
    "many parameters": '{"resources": [], "parameters": {'
    + ",".join(f'"p{number}": 1' for number in range(20_000))
    + "}}",
    "long expressions": '{"resources": [], "outputs": {"a": {"value": "' + filled("[list ")[:-100] + '"}}}',
    "expressions in a row": '{"resources": [], "variables": {"a": "' + filled("[parameters('")[:-100] + '"}}',
    "a list": "[]",
    "a number": "1",
    "nothing": "",
    "outputs that are none": '{"resources": [], "outputs": [1]}',
    "parameters that are none": '{"resources": [], "parameters": [1]}',
    "a resource that is none": '{"resources": [null, "a", {"type": 5, "apiVersion": [], "properties": 1}]}',
}


def source_with(
    yaml: bytes | str | None = None, template: bytes | str | None = None, model: bytes | str | None = None
) -> Source:
    """A catalog with the hostile file in the place of a good one, or beside them."""
    folder = shipped("catalog") / "storage"
    offering = (folder / "azure-storage-account.yaml").read_bytes() if yaml is None else yaml
    account = (folder / "account.json").read_bytes() if template is None else template
    files = {"storage/azure-storage-account.yaml": offering, "storage/account.json": account}
    if model is not None:
        files[f"{TEAMS_FOLDER}/Microsoft.Mine.things@2026-01-01.json"] = model
    return Source("hostile", {path: c if isinstance(c, bytes) else c.encode() for path, c in files.items()})


def main(answers: Path) -> None:
    # What is loaded on first use is no hostile file's doing.
    assert read_sources([source_with()])[1] == []
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    with answers.open("w") as told:
        for kind, files in (("yaml", YAML), ("template", JSON), ("model", JSON)):
            for name, content in files.items():
                # Told beforehand, too: who dies here is known.
                told.write(json.dumps({"kind": kind, "name": name}) + "\n")
                told.flush()
                started = time.process_time()
                faults = read_sources([source_with(**{kind: content})])[1]
                seconds = time.process_time() - started
                said = [str(fault) for fault in faults]
                told.write(
                    json.dumps(
                        {
                            "kind": kind,
                            "name": name,
                            "seconds": seconds,
                            "faults": said[:5],
                            "in_all": len(said),
                        }
                    )
                    + "\n"
                )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
