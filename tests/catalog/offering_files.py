"""Files of an offering of a team's own: the shipped storage account under another name, with ids of its own."""

import re
from uuid import uuid4

from broker.shipped import shipped

_STORAGE = shipped("catalog") / "storage"
_ID = re.compile(r"\bid: [0-9a-f-]{36}")


def an_offering(name: str) -> dict[str, str]:
    """The text of each file, by path."""
    text = (_STORAGE / "azure-storage-account.yaml").read_text(encoding="utf-8")
    text = _ID.sub(lambda _: f"id: {uuid4()}", text)
    text = text.replace("name: azure-storage-account", f"name: {name}", 1)
    template = (_STORAGE / "account.json").read_text(encoding="utf-8")
    return {f"storage/{name}.yaml": text, "storage/account.json": template}
