"""
What platforms show of offerings and plans, by the conventions of the Open Service Broker API's profile.

Other keys are handed on as they are, unless they are one of these in another spelling.
"""

from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr, model_validator

from broker.catalog.format.values import Strict

Address = Annotated[StrictStr, Field(pattern=r"^https?://[^\s]+$", max_length=2000)]
Image = Annotated[StrictStr, Field(pattern=r"^(https?://[^\s]+|data:image/[^\s]+)$", max_length=65536)]
Line = Annotated[StrictStr, Field(min_length=1, max_length=500)]


class Metadata(Strict):
    """Conventional keys have their type; all others are free."""

    model_config = ConfigDict(extra="allow")

    display_name: Annotated[Line | None, Field(alias="displayName")] = None
    """The name that people see."""

    @model_validator(mode="after")
    def _spelt_right(self) -> Self:
        conventional = {
            (field.alias or name).lower(): field.alias or name
            for name, field in type(self).model_fields.items()
        }
        for given in self.model_extra or {}:
            meant = conventional.get(given.lower().replace("_", "").replace("-", ""))
            if meant is not None:
                raise ValueError(f"has the key '{given}', which platforms know as '{meant}'")
        return self

    def as_json(self) -> dict[str, Any]:
        return self.model_dump(by_alias=True, exclude_unset=True)


class OfferingMetadata(Metadata):
    """What platforms show of an offering."""

    image_url: Annotated[Image | None, Field(alias="imageUrl")] = None
    """Address of an icon, or the icon itself as a data URL."""
    long_description: Annotated[
        Annotated[StrictStr, Field(max_length=10_000)] | None, Field(alias="longDescription")
    ] = None
    """A paragraph about the service."""
    provider_display_name: Annotated[Line | None, Field(alias="providerDisplayName")] = None
    """Who provides it."""
    documentation_url: Annotated[Address | None, Field(alias="documentationUrl")] = None
    """Where its documentation is."""
    support_url: Annotated[Address | None, Field(alias="supportUrl")] = None
    """Where users find help."""
    shareable: StrictBool | None = None
    """Whether Cloud Foundry may share an instance between spaces."""


class CostFile(Strict):
    """One price of a plan."""

    amount: Annotated[
        dict[
            Annotated[StrictStr, Field(pattern=r"^[a-zA-Z]{3}$")],
            Annotated[StrictInt | StrictFloat, Field(ge=0)],
        ],
        Field(min_length=1, max_length=200),
    ]
    """Amounts by currency, such as `{usd: 25.0}`."""
    unit: Line
    """For what, such as MONTHLY."""


class PlanMetadata(Metadata):
    """What platforms show of a plan."""

    bullets: Annotated[list[Line], Field(max_length=50)] | None = None
    """What it has to offer, a line each."""
    costs: Annotated[list[CostFile], Field(max_length=50)] | None = None
    """What it costs."""
