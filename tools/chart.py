"""
Write what of the chart follows from something else: python -m tools.chart

README.md from the comments in values.yaml; in values.schema.json the part `settings` from the broker's settings.
"""

from __future__ import annotations

import json
import re
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import yaml
from pydantic.fields import FieldInfo

from broker.settings import Settings, secret_names

CHART = Path(__file__).parent.parent / "charts" / "azure-service-broker"
# What the chart sets itself, from values of its own or because its pods are laid out so.
SET_BY_THE_CHART = {
    *secret_names(),
    "admin_host", "admin_port", "azure_ca_file", "azure_federated_token_file", "catalog_overlays", "data_plane_ca_file",
    "health_host", "health_port", "host", "port", "stop_after", "tenant_rules",
    "tls_certificate_file", "tls_key_file",
}  # fmt: skip
# Of use for development, or in an image of one's own: reached by `extraEnv`.
BY_EXTRA_ENV = {"azure_token_file", "catalog_folder"}
NEEDED = ["azure_authentication", "azure_location", "azure_subscription_id", "broker_id"]
DURATION = r"^\d+(\.\d+)?(ms|s|m|h|d)$"


def settings_schema() -> dict[str, Any]:
    properties = {
        name: {"description": about.description, **setting_schema(about)}
        for name, about in sorted(Settings.model_fields.items())
        if name not in SET_BY_THE_CHART | BY_EXTRA_ENV
    }
    # The pod's grace period is made of it.
    properties["stop_within"]["pattern"] = r"^([2-9]|[1-9]\d+)s$"
    return {"type": "object", "additionalProperties": False, "required": NEEDED, "properties": properties}


def setting_schema(about: FieldInfo) -> dict[str, Any]:
    kind = about.annotation
    constraints = list(about.metadata)
    while get_origin(kind) is not None and get_origin(kind) not in {Literal, tuple, dict}:
        inner = next(one for one in get_args(kind) if one is not type(None))
        constraints += [] if isinstance(kind, type) else getattr(inner, "__metadata__", ())
        kind = getattr(inner, "__origin__", inner)
    constraints = [part for one in constraints for part in getattr(one, "metadata", [one])]
    if get_origin(kind) is Literal:
        return {"enum": list(get_args(kind))}
    if get_origin(kind) is tuple:
        return {"type": ["array", "string"], "items": {"type": "string"}}
    if get_origin(kind) is dict:
        return {"type": ["object", "string"]}
    if kind is timedelta:
        return {"type": "string", "pattern": DURATION}
    if kind is bool:
        return {"type": "boolean"}
    if kind in {int, float}:
        bounds = {"ge": "minimum", "le": "maximum"}
        return {
            "type": "integer" if kind is int else "number",
            **{bounds[at]: getattr(one, at) for one in constraints for at in bounds if hasattr(one, at)},
        }
    pattern = next((one.pattern for one in constraints if getattr(one, "pattern", None)), None)
    # The schema's engine knows neither \w inside a class of Unicode nor look-arounds; what is left is plain.
    return {"type": "string", "minLength": 1, **({"pattern": pattern} if pattern else {})}


def schema() -> str:
    whole = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    whole["properties"]["settings"] = settings_schema()
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


def described_values() -> list[tuple[str, str, str]]:
    """Path, default and comment of each value, in the file's order."""
    text = (CHART / "values.yaml").read_text(encoding="utf-8")
    values = yaml.safe_load(text)
    found, comment, path = [], [], []
    for line in text.splitlines():
        if told := re.match(r"\s*# (.*)", line):
            comment.append(told[1])
            continue
        if key := re.match(r"(\s*)([A-Za-z_]+):", line):
            path = [*path[: len(key[1]) // 2], key[2]]
            value = values
            for part in path:
                value = value[part]
            is_group = isinstance(value, dict) and line.rstrip().endswith(":")
            found.append((".".join(path), "" if is_group else f"`{json.dumps(value)}`", " ".join(comment)))
        comment = []
    return found


def readme() -> str:
    about = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    lines = [
        f"# {about['name']}",
        "",
        f"{about['description']}",
        "",
        "How to install, upgrade, scale and remove it: `docs/kubernetes.md`. This page is made from the comments in",
        "`values.yaml` by `python -m tools.chart`; a test holds it current. Values that are not listed are refused.",
        "",
        f"Kubernetes {about['kubeVersion'].removesuffix('-0')}, Helm 3 or 4.",
        "",
        "| value | default | meaning |",
        "|---|---|---|",
    ]
    lines += [
        f"| `{path}` | {default} | {comment} |"
        for path, default, comment in described_values()
        if default or comment
    ]
    return "\n".join([*lines, ""])


def pages() -> dict[Path, str]:
    return {CHART / "README.md": readme(), CHART / "values.schema.json": schema()}


def main() -> int:
    for file, text in pages().items():
        file.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
