"""The form of the file of tenant rules. What is not named here is refused."""

from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictInt,
    StrictStr,
    WithJsonSchema,
    model_validator,
)

Text = Annotated[StrictStr, Field(min_length=1, max_length=255)]
Name = Annotated[StrictStr, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$")]
Parameter = Annotated[StrictStr, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,62}$")]
Plans = Annotated[StrictStr, Field(pattern=r"^[^/]{1,130}(/[^/]{1,130})?$")]
TagName = Annotated[StrictStr, Field(pattern=r"^[^<>%&\\?/]{1,128}$")]
"""As Azure takes it for every kind of resource; storage accounts take no more than 128 characters."""


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


_TEXT = {"type": "string", "minLength": 1, "maxLength": 255}
Glob = Annotated[
    list[Text],
    Field(min_length=1, max_length=100),
    BeforeValidator(_as_list),
    WithJsonSchema(
        {"anyOf": [_TEXT, {"type": "array", "items": _TEXT, "minItems": 1, "maxItems": 100}]},
    ),
]
"""A pattern, or several of which one has to match."""


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class WhenFile(Strict):
    platform: Glob | None = Field(
        None, description="The platform's name, as in BROKER_PLATFORMS: the one thing that credentials prove."
    )
    view: Glob | None = Field(
        None, description="The view under whose address the order came. Only where `views` has it."
    )
    cluster: Glob | None = Field(None, description="`clusterid` of a Kubernetes context.")
    namespace: Glob | None = Field(None, description="`namespace` of a Kubernetes context.")
    organization: Glob | None = Field(
        None, description="`organization_guid` of a Cloud Foundry context, or beside none."
    )
    space: Glob | None = Field(None, description="`space_guid` of a Cloud Foundry context, or beside none.")
    organization_name: Glob | None = Field(
        None, description="`organization_name` of a Cloud Foundry context; it can be changed there."
    )
    space_name: Glob | None = Field(
        None, description="`space_name` of a Cloud Foundry context; it can be changed there."
    )
    namespace_annotations: dict[Text, Glob] | None = Field(
        None,
        description="Annotations of the namespace, from clients that send them; Service Catalog does not.",
    )
    organization_annotations: dict[Text, Glob] | None = Field(
        None, description="Annotations of the organization, from clients that send them."
    )
    space_annotations: dict[Text, Glob] | None = Field(
        None, description="Annotations of the space, from clients that send them."
    )


class PlaceFile(Strict):
    subscription: (
        Annotated[StrictStr, Field(pattern=r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$")] | None
    ) = Field(None, description="Subscription for what is ordered.")
    resource_group: Annotated[StrictStr, Field(pattern=r"^[-\w.()]{1,89}[-\w()]$")] | None = Field(
        None,
        description="Resource group for plans with a shared one; it must exist in that subscription. Plans with a "
        "group for each instance make that in the subscription.",
    )

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.subscription is None and self.resource_group is None:
            raise ValueError("must have subscription, resource_group or both")
        return self


class VisibleFile(Strict):
    allow: Annotated[list[Plans], Field(min_length=1)] | None = Field(
        None, description="Plans that can be ordered: OFFERING or OFFERING/PLAN; all if it is left out."
    )
    deny: Annotated[list[Plans], Field(min_length=1)] | None = Field(
        None, description="Plans of these that cannot be ordered after all."
    )

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.allow is None and self.deny is None:
            raise ValueError("must have allow, deny or both")
        return self


class ParametersFile(Strict):
    force: dict[Parameter, Any] = Field(
        default_factory=dict, description="Values that nobody can order otherwise; another value is refused."
    )
    default: dict[Parameter, Any] = Field(
        default_factory=dict, description="Values for who does not say otherwise."
    )

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if not self.force and not self.default:
            raise ValueError("must have force, default or both")
        if both := sorted(self.force.keys() & self.default.keys()):
            raise ValueError(f"has {', '.join(both)} under force and under default")
        return self


class QuotaFile(Strict):
    limit: Annotated[StrictInt, Field(ge=0, le=1_000_000)] = Field(
        description="How many service instances there may be at once."
    )
    plans: Annotated[list[Plans], Field(min_length=1)] = Field(
        default=["*"], description="Which plans' instances count, together: OFFERING or OFFERING/PLAN."
    )
    per: Literal["platform", "cluster", "namespace", "organization", "space", "rule"] = Field(
        description="Within what is counted; `rule`: all for whom this rule has the quota, taken together."
    )
    ask: Text | None = Field(None, description="Whom to ask for more, for those who are refused.")


class RuleFile(Strict):
    name: Name = Field(description="What the rule is called wherever it is told which rule gave a value.")
    when: WhenFile = Field(
        default_factory=WhenFile,
        description="Whom the rule is for: each key has to match. In a pattern `*` stands for any text and `?` for "
        "one character. Without `when` it is for everybody.",
    )
    place: PlaceFile | None = Field(
        None, description="Where the resources go, instead of where the plan and the settings say. One value."
    )
    location: Annotated[StrictStr, Field(pattern=r"^[a-z0-9]+$")] | None = Field(
        None, description="Region of the resources, such as `westeurope`; another one cannot be ordered."
    )
    tags: Annotated[dict[TagName, Annotated[StrictStr, Field(max_length=256)]], Field(max_length=30)] = Field(
        default_factory=dict,
        description="Tags for all resources that take tags; stronger than those that are ordered.",
    )
    plans: VisibleFile | None = Field(
        None,
        description="Which plans can be ordered; all others are as unknown as if there were none. One value.",
    )
    parameters: dict[Plans, ParametersFile] = Field(
        default_factory=dict,
        description="Parameters by the plans that they are for: OFFERING or OFFERING/PLAN.",
    )
    quotas: dict[Name, QuotaFile] = Field(
        default_factory=dict, description="How many service instances there may be, by a name of your own."
    )


class ViewFile(Strict):
    platforms: Glob = Field(["*"], description="Platforms that may use the view, by their names.")


class RulesFile(Strict):
    """Tenant rules: who gets what, one row after the other; each value comes from the first row that has it."""

    platforms: dict[Text, Literal["service-catalog", "kubernetes", "cloudfoundry", "korifi"]] = Field(
        default_factory=dict,
        description="What kind of platform each one is, by its name; `osb tenants check` then knows what it tells.",
    )
    views: dict[Annotated[StrictStr, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")], ViewFile] = (
        Field(
            default_factory=dict,
            description="Catalogs at addresses of their own: a platform that is registered with `https://BROKER/NAME` "
            "orders in the view NAME, which rules can ask for.",
        )
    )
    rules: Annotated[list[RuleFile], Field(max_length=1000)] = Field(
        description="The rules, the strongest first."
    )


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of the file."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **RulesFile.model_json_schema()}
