"""
The form of an offering's file. What is not named here is refused.

The line below each key says what it means; the JSON schema for editors is made of them.
"""

from broker.catalog.format.adoption import AdoptFile
from broker.catalog.format.bindings import (
    BindingModesFile,
    ComposeFile,
    CredentialChangesFile,
    CredentialValue,
    Verb,
)
from broker.catalog.format.legacy import LegacyFile, LegacyModeFile
from broker.catalog.format.metadata import OfferingMetadata, PlanMetadata
from broker.catalog.format.offerings import SCHEMA_FILE, OfferingFile, PlanFile
from broker.catalog.format.parameters import UserParameter, ValueSchema
from broker.catalog.format.resources import ResourceFile
from broker.catalog.format.values import CREDENTIAL_KEY, GUID, NAME, VERSION, Name, Strict

__all__ = [
    "CREDENTIAL_KEY",
    "GUID",
    "NAME",
    "SCHEMA_FILE",
    "VERSION",
    "AdoptFile",
    "BindingModesFile",
    "ComposeFile",
    "CredentialChangesFile",
    "CredentialValue",
    "LegacyFile",
    "LegacyModeFile",
    "Name",
    "OfferingFile",
    "OfferingMetadata",
    "PlanFile",
    "PlanMetadata",
    "ResourceFile",
    "Strict",
    "UserParameter",
    "ValueSchema",
    "Verb",
]
