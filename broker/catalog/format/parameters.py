"""Where each parameter of a template comes from, and what users may give."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, StrictBool, StrictFloat, StrictInt, StrictStr, Tag

from broker.catalog.format.values import Identifier, OneOf, ParameterName, Pick, Sentence, Strict
from broker.domain.patterns import fault_of_pattern


def _a_pattern(pattern: str) -> str:
    fault = fault_of_pattern(pattern)
    if fault is not None:
        raise ValueError(fault)
    return pattern


Pattern = Annotated[StrictStr, Field(min_length=1, max_length=1000), AfterValidator(_a_pattern)]
Bound = Annotated[StrictInt, Field(ge=0)]
JsonType = Literal["string", "integer", "number", "boolean", "array", "object"]


class ValueSchema(Strict):
    """What entries of a list or of an object may be: these keywords of JSON schema (draft-04), and no others."""

    type: JsonType
    """JSON's word for the kind of value."""
    title: StrictStr | None = None
    """A short name for people."""
    description: StrictStr | None = None
    """What it is for."""
    enum: Annotated[list[Any], Field(min_length=1, max_length=1000)] | None = None
    """The values that are allowed."""
    minimum: StrictInt | StrictFloat | None = None
    """The smallest number."""
    maximum: StrictInt | StrictFloat | None = None
    """The largest number."""
    min_length: Annotated[Bound | None, Field(alias="minLength")] = None
    """The fewest characters."""
    max_length: Annotated[Bound | None, Field(alias="maxLength")] = None
    """The most characters."""
    pattern: Pattern | None = None
    """A regular expression that text must match somewhere; anchor it by `^` and `$`."""
    items: "ValueSchema | None" = None
    """What entries of a list may be."""
    min_items: Annotated[Bound | None, Field(alias="minItems")] = None
    """The fewest entries of a list."""
    max_items: Annotated[Bound | None, Field(alias="maxItems")] = None
    """The most entries of a list."""
    unique_items: Annotated[StrictBool | None, Field(alias="uniqueItems")] = None
    """Whether no entry may be there twice."""
    properties: dict[StrictStr, "ValueSchema"] | None = None
    """The keys of an object."""
    required: Annotated[list[StrictStr], Field(min_length=1)] | None = None
    """The keys that must be there."""
    additional_properties: Annotated[
        "StrictBool | ValueSchema | None", Field(alias="additionalProperties")
    ] = None
    """Whether other keys are allowed, or what their values may be."""
    max_properties: Annotated[Bound | None, Field(alias="maxProperties")] = None
    """The most keys of an object."""

    def as_json(self) -> dict[str, Any]:
        return self.model_dump(by_alias=True, exclude_none=True)


class UserParameter(Strict):
    """A parameter that users may give; what the template says of it can be narrowed, never widened."""

    type: Literal["string", "integer", "boolean", "array", "object"] | None = None
    """Needed where the template has no such parameter, or has it in another form."""
    through: (
        Literal[
            "location",
            "tags",
            "firewall_rules",
            "ip_rules",
            "extension_list",
            "database",
            "picked",
            "nothing",
            "option",
        ]
        | None
    ) = None
    """What the broker makes of it on its way into the template; an `option` is for the broker itself."""
    description: StrictStr | None = None
    """Shown to users; the template's own if left out."""
    title: StrictStr | None = None
    """A short name for forms."""
    default: Any = None
    """What counts where nothing is given."""
    allowed: Annotated[list[Any], Field(min_length=1, max_length=1000)] | None = None
    """The values that may be given; of a list, those of its entries."""
    minimum: StrictInt | None = None
    """The smallest number."""
    maximum: StrictInt | None = None
    """The largest number."""
    min_length: Bound | None = None
    """The fewest characters, or entries of a list."""
    max_length: Bound | None = None
    """The most characters."""
    pattern: Pattern | None = None
    """A regular expression that text must match somewhere; anchor it by `^` and `$`."""
    items: ValueSchema | None = None
    """What entries of a list may be."""
    max_items: Bound | None = None
    """The most entries of a list."""
    unique_items: StrictBool | None = None
    """Whether no entry may be there twice."""
    additional: ValueSchema | None = None
    """What the values of an object with free keys may be."""
    max_properties: Bound | None = None
    """The most keys of an object."""
    required: StrictBool | None = None
    """Whether it must be given; if left out, whether the template and the default leave it open."""
    immutable: StrictBool | None = None
    """Cannot be changed once the instance was created."""
    sensitive: StrictBool | None = None
    """Is sealed, and never shown again."""
    grows_only: StrictBool | None = None
    """Can rise, and never falls."""
    alone: StrictBool | None = None
    """Cannot be changed together with anything else."""


class DerivedValue(OneOf):
    """One of the names derived for each service instance, or what a JMESPath expression picks."""

    name: Identifier | None = None
    """A word of `names`."""
    pick: Pick | None = None
    """A JMESPath expression on `parameters`, `names` and `parent`."""


BrokerValue = Literal[
    "location",
    "tags",
    "firewall_rules",
    "ip_rules",
    "administrator_login",
    "administrator_password",
    "entra_administrators",
]
BrokerParameter = Annotated[
    Annotated[BrokerValue, Tag("word")] | Annotated[DerivedValue, Tag("derived")],
    Discriminator(lambda given: "word" if isinstance(given, str) else "derived"),
]


RefusedNames = Annotated[dict[ParameterName, Sentence], Field(max_length=200)]


class Parameters(Strict):
    """Each parameter of the template once: given by users, fixed, or filled in by the broker."""

    user: Annotated[dict[Identifier, UserParameter], Field(max_length=200)] = {}
    """What users may give."""
    fixed: Annotated[dict[Identifier, Any], Field(max_length=200)] = {}
    """What is the same for all."""
    broker: Annotated[dict[Identifier, BrokerParameter], Field(max_length=200)] = {}
    """What the broker fills in."""
    refused: RefusedNames = {}
    """Names that older brokers knew, each with the sentence that tells what replaces it. In no schema."""
