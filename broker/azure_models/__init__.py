"""What Azure's resource types look like, generated from the providers' typed SDKs by `tools/azure-models`."""

from broker.azure_models.reader import UNKNOWN, Model, Problem, Property, ResourceModel, known, load

__all__ = ["UNKNOWN", "Model", "Problem", "Property", "ResourceModel", "known", "load"]
