"""A copy of the shipped catalog to spoil."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from broker.shipped import shipped


class Copy:
    """A catalog folder of the test's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(shipped("catalog"), folder)

    def file(self, name: str) -> Path:
        return next(self.folder.glob(f"*/{name}"))

    def replace(self, name: str, old: str, new: str) -> None:
        text = self.file(name).read_text()
        assert old in text, f"{old!r} is no longer in {name}"
        self.file(name).write_text(text.replace(old, new, 1))

    def change(self, name: str, change) -> None:
        """Change a file as data; a JSON one stays JSON."""
        file = self.file(name)
        reading, writing = (
            (json.loads, json.dumps) if name.endswith(".json") else (yaml.safe_load, yaml.safe_dump)
        )
        data = reading(file.read_text())
        change(data)
        file.write_text(writing(data))


@pytest.fixture
def copy(tmp_path) -> Copy:
    return Copy(tmp_path / "catalog")
