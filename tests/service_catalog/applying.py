"""`kubectl apply` of ServiceInstances and ServiceBindings, and the Secrets that follow."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from functools import partial
from typing import Any

import yaml

from tests.service_catalog.binding import Binding
from tests.service_catalog.controller import Controller
from tests.service_catalog.instance import Instance

API_GROUP = "servicecatalog.k8s.io/v1beta1"
_SPECS = {
    "ServiceInstance": {
        "clusterServiceClassExternalName", "clusterServicePlanExternalName",
        "externalID", "parameters", "parametersFrom",
    },
    "ServiceBinding": {"instanceRef", "secretName", "externalID", "parameters", "parametersFrom"},
}  # fmt: skip


class NotValid(ValueError):
    """The API server would refuse the object, or drop a part of it without a word."""


class NotReady(Exception):
    """An object has ended in a failed condition; `reason` is the condition's, the text its message."""

    def __init__(self, name: str, reason: str, message: str) -> None:
        super().__init__(f"{name}: {reason}: {message}")
        self.reason = reason


class Applied:
    """Objects by name, and the Secrets as they are now."""

    def __init__(self) -> None:
        self.instances: dict[str, Instance] = {}
        self.bindings: dict[str, Binding] = {}
        self._secret_names: dict[str, str] = {}

    @property
    def secrets(self) -> dict[str, dict[str, str]]:
        """Data of each Secret that a binding has written, by the Secret's name."""
        return {
            self._secret_names[name]: binding.secret
            for name, binding in self.bindings.items()
            if binding.secret is not None
        }

    def _note(self, name: str, binding: Binding, secret_name: str) -> None:
        self.bindings[name], self._secret_names[name] = binding, secret_name


async def apply(controller: Controller, text: str, *, within: float = 120.0) -> Applied:
    """
    Apply all documents in *text*, and wait until everything is ready; *within* is in seconds on the clock.

    Secrets in it are there for `parametersFrom`. An instance that names another as its parent has to stand after it.

    Raises:
        NotValid: A document is none of these kinds, or has keys that it must not have.
        NotReady: An object has ended in a failed condition.
        TimeoutError: One has not settled.
    """
    documents = [document for document in yaml.safe_load_all(text) if document is not None]
    given = {
        document["metadata"]["name"]: _values(document)
        for document in documents
        if document.get("kind") == "Secret"
    }
    applied = Applied()
    for document in documents:
        if document.get("kind") == "Secret":
            continue
        name, spec = _checked(document)
        parameters = _parameters(spec, given)
        if document["kind"] == "ServiceInstance":
            instance = controller.provision(
                name,
                spec["clusterServiceClassExternalName"],
                spec["clusterServicePlanExternalName"],
                parameters,
                external_id=spec.get("externalID"),
            )
            applied.instances[name] = instance
            await controller.until(partial(_answered, instance), within=within)
        else:
            whose = controller.things["instance", spec["instanceRef"]["name"]]
            assert isinstance(whose, Instance)
            binding = controller.bind(name, whose, parameters, external_id=spec.get("externalID"))
            applied._note(name, binding, spec.get("secretName", name))
    named = {**applied.instances, **applied.bindings}

    def ended() -> bool:
        conditions = [thing.condition for thing in named.values()]
        return any(each.failed for each in conditions) or all(each.ready for each in conditions)

    await controller.until(ended, within=within)
    for name, thing in named.items():
        if thing.condition.failed:
            raise NotReady(name, thing.condition.reason, thing.condition.message)
    return applied


async def delete(controller: Controller, applied: Applied, *, within: float = 120.0) -> None:
    """Delete what was applied, bindings and instances at once, as `kubectl delete -f` does."""
    things = [*applied.bindings.values(), *reversed(applied.instances.values())]
    for thing in things:
        thing.delete()
    await controller.settled(*things, within=within)


def _answered(instance: Instance) -> bool:
    return bool(instance.condition.reason)


def _checked(document: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    kind = document.get("kind")
    if kind not in _SPECS or document.get("apiVersion") != API_GROUP:
        raise NotValid(f"{document.get('apiVersion')} {kind} is no kind that can be applied here")
    name, spec = document["metadata"]["name"], document.get("spec", {})
    if unknown := set(spec) - _SPECS[kind]:
        raise NotValid(f"{kind} {name}: unknown {sorted(unknown)}")
    return name, spec


def _values(secret: Mapping[str, Any]) -> dict[str, str]:
    plain = dict(secret.get("stringData", {}))
    return {key: base64.b64decode(value).decode() for key, value in secret.get("data", {}).items()} | plain


def _parameters(spec: Mapping[str, Any], secrets: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    merged: dict[str, Any] = dict(spec.get("parameters") or {})
    for source in spec.get("parametersFrom", []):
        reference = source["secretKeyRef"]
        more = json.loads(secrets[reference["name"]][reference["key"]])
        if twice := merged.keys() & more.keys():
            raise NotValid(f"parameters {sorted(twice)} are given twice")
        merged |= more
    return merged
