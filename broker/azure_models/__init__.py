"""What Azure's resource types look like, generated from the providers' typed SDKs by `tools/azure-models`."""

from broker.azure_models.reader import (
    TEAMS_FOLDER,
    UNKNOWN,
    Model,
    ModelFileBroken,
    Models,
    Problem,
    Property,
    ResourceModel,
    known,
    load,
    shipped,
)

__all__ = [
    "TEAMS_FOLDER",
    "UNKNOWN",
    "Model",
    "ModelFileBroken",
    "Models",
    "Problem",
    "Property",
    "ResourceModel",
    "known",
    "load",
    "shipped",
]
