"""The values that keys of an offering's file can have, and how objects are read: what is not named is refused."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StrictStr, model_validator

GUID = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
NAME = r"^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$"
CREDENTIAL_KEY = r"^[-._a-zA-Z0-9]{1,253}$"
VERSION = r"^(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)(-[0-9A-Za-z.-]+)?$"

Guid = Annotated[StrictStr, Field(pattern=GUID)]
Name = Annotated[StrictStr, Field(pattern=NAME)]
"""Also a Kubernetes object name, which is what platforms make of it."""
Description = Annotated[StrictStr, Field(min_length=1, max_length=255)]
Identifier = Annotated[StrictStr, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,62}$")]
ParameterName = Annotated[StrictStr, Field(pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,62}$")]
"""Of a parameter that only older brokers had; theirs have hyphens, too."""
Sentence = Annotated[StrictStr, Field(min_length=1, max_length=500)]
"""Told to the person who asked, as it stands."""
CredentialKey = Annotated[StrictStr, Field(pattern=CREDENTIAL_KEY)]
Pick = Annotated[StrictStr, Field(min_length=1, max_length=500)]
"""A JMESPath expression."""


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=False)


class OneOf(Strict):
    """An object of which exactly one key is given."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1, "maxProperties": 1})

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        given = self.model_fields_set
        if len(given) != 1 or getattr(self, next(iter(given))) is None:
            raise ValueError(f"must have exactly one of {', '.join(type(self).model_fields)}")
        return self
