"""The chart as Helm renders it: values in, Kubernetes' objects out."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.needs import the_program

TOP = Path(__file__).parent.parent.parent
CHART = TOP / "charts" / "azure-service-broker"
# What the chart claims: the oldest it lets itself be installed on, and the newest whose schemas are at hand.
OLDEST, NEWEST = "1.27.0", "1.37.0"

Objects = list[dict[str, Any]]


class Refused(Exception):
    """Helm does not render these values; the text is its own."""


def helm(*arguments: object, given: str | None = None, **environment: str) -> str:
    """
    Run Helm and return what it prints.

    Raises:
        Refused: It ended with another status than 0.
    """
    command = [*the_program("helm"), *map(str, arguments)]
    ran = subprocess.run(
        command, input=given, env=environment or None, capture_output=True, text=True, check=False
    )
    if ran.returncode != 0:
        raise Refused(ran.stderr)
    return ran.stdout


def rendered(values: Mapping[str, Any], *, version: str = NEWEST, arguments: Sequence[str] = ()) -> Objects:
    """
    Return the objects, hooks and tests among them.

    Raises:
        Refused: Likewise.
    """
    return list(yaml.safe_load_all(_rendered(json.dumps(values), version, tuple(arguments))))


@cache
def _rendered(values: str, version: str, arguments: tuple[str, ...]) -> str:
    options = ("--namespace", "brokers", "--kube-version", version, "--values", "-")
    text = helm("template", "broker", CHART, *options, *arguments, given=values)
    documents = [one for one in text.split("\n---\n") if yaml.safe_load(one)]
    return "\n---\n".join(documents)


def of_kind(objects: Objects, *kinds: str) -> Objects:
    return [one for one in objects if one["kind"] in kinds]


def named(objects: Objects, kind: str, name: str) -> dict[str, Any]:
    (found,) = [one for one in of_kind(objects, kind) if one["metadata"]["name"] == name]
    return found


def pod_templates(objects: Objects) -> dict[str, dict[str, Any]]:
    """Every pod that comes of *objects*, by kind and name, as a template: metadata and spec."""
    return {
        f"{one['kind']} {one['metadata']['name']}": one if one["kind"] == "Pod" else one["spec"]["template"]
        for one in of_kind(objects, "Deployment", "Job", "Pod")
    }


def containers(template: dict[str, Any]) -> Objects:
    return [*template["spec"].get("initContainers", []), *template["spec"]["containers"]]


def is_hook(one: dict[str, Any]) -> bool:
    return "helm.sh/hook" in one["metadata"].get("annotations", {})


def selects(selector: Mapping[str, str], template: dict[str, Any]) -> bool:
    return selector.items() <= template["metadata"]["labels"].items()
