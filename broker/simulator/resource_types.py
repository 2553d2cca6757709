"""The resource types that this Azure has: those of the model files, and some that are taken as they come."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from broker.azure_models import Model, Models, ResourceModel, shipped
from broker.simulator.arm_errors import ArmError


class ResourceTypes:
    """
    Resource types with the api-versions at which they are known.

    Of those in *unchecked* (types with their api-version) nobody has a model: any body is taken for them.
    """

    def __init__(self, models: Models | None = None, unchecked: Iterable[tuple[str, str]] = ()) -> None:
        self._models = models or shipped()
        self._unchecked: dict[tuple[str, str], ResourceModel] = {}
        known = {name: list(versions) for name, versions in self._models.known().items()}
        for kind, version in unchecked:
            if self._models.load(kind, version) is None:
                name = next((name for name in known if name.lower() == kind.lower()), kind)
                known.setdefault(name, []).append(version)
                self._unchecked[name.lower(), version] = _anything(name, version)
        self.known: Mapping[str, tuple[str, ...]] = {
            name: tuple(sorted(versions, reverse=True)) for name, versions in sorted(known.items())
        }
        """Spelt as Azure does, each with its api-versions, newest first."""
        self._spelt = {name.lower(): name for name in self.known}

    def spelt(self, kind: str) -> str:
        """A resource type as its model spells it."""
        return self._spelt.get(kind.lower(), kind)

    def find(self, kind: str, api_version: str) -> ResourceModel | None:
        return self._unchecked.get((kind.lower(), api_version)) or self._models.load(kind, api_version)

    def model(self, kind: str, api_version: str) -> ResourceModel:
        """
        Raises:
            ArmError: 400 or 404, the type or the api-version is not known.
        """
        namespace = kind.partition("/")[0]
        versions = self.known.get(self.spelt(kind))
        if versions is None:
            namespaces = {name.partition("/")[0].lower() for name in self.known}
            if namespace.lower() not in namespaces:
                raise ArmError(
                    404, "InvalidResourceNamespace", f"The resource namespace '{namespace}' is invalid."
                )
            raise ArmError(
                404,
                "InvalidResourceType",
                f"The resource type '{kind}' could not be found in the namespace "
                f"'{namespace}' for api version '{api_version}'.",
            )
        model = self.find(kind, api_version)
        if model is None:
            listed = ", ".join(versions)
            raise ArmError(
                400,
                "NoRegisteredProviderFound",
                f"No registered resource provider found for API version '{api_version}' for type "
                f"'{kind}'. The supported api-versions are '{listed}'.",
            )
        return model


def _anything(kind: str, api_version: str) -> ResourceModel:
    return ResourceModel(kind, api_version, {}, Model({}), {}, checked=False)
