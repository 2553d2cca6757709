"""The form of an offering's file. What is not named here is refused."""

from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    Tag,
    model_validator,
)

GUID = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
NAME = r"^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$"
CREDENTIAL_KEY = r"^[-._a-zA-Z0-9]{1,253}$"
VERSION = r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?$"

Guid = Annotated[StrictStr, Field(pattern=GUID)]
Name = Annotated[StrictStr, Field(pattern=NAME)]
"""Also a Kubernetes object name, which is what platforms make of it."""
Description = Annotated[StrictStr, Field(min_length=1, max_length=255)]
Identifier = Annotated[StrictStr, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,62}$")]
CredentialKey = Annotated[StrictStr, Field(pattern=CREDENTIAL_KEY)]
Pick = Annotated[StrictStr, Field(min_length=1, max_length=500)]
"""A JMESPath expression."""


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class MaintenanceInfoFile(Strict):
    version: Annotated[StrictStr, Field(pattern=VERSION)]
    description: StrictStr | None = None


class UserParameter(Strict):
    """A parameter that users may give; what the template says of it can be narrowed, never widened."""

    type: Literal["string", "integer", "boolean", "array", "object"] | None = None
    through: (
        Literal["location", "tags", "firewall_rules", "ip_rules", "extension_list", "database"] | None
    ) = None
    description: StrictStr | None = None
    title: StrictStr | None = None
    default: Any = None
    allowed: Annotated[list[Any], Field(min_length=1)] | None = None
    minimum: StrictInt | None = None
    maximum: StrictInt | None = None
    min_length: StrictInt | None = None
    max_length: StrictInt | None = None
    pattern: StrictStr | None = None
    items: dict[StrictStr, Any] | None = None
    max_items: StrictInt | None = None
    unique_items: StrictBool | None = None
    additional: dict[StrictStr, Any] | None = None
    max_properties: StrictInt | None = None
    required: StrictBool | None = None
    immutable: StrictBool | None = None
    sensitive: StrictBool | None = None
    grows_only: StrictBool | None = None


class OneOf(Strict):
    """An object of which exactly one key is given."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if len(self.model_fields_set) != 1:
            raise ValueError(f"must have exactly one of {', '.join(type(self).model_fields)}")
        return self


class DerivedValue(OneOf):
    """One of the names derived for each service instance, or what a JMESPath expression picks."""

    name: Identifier | None = None
    pick: Pick | None = None


class CredentialValue(OneOf):
    pick: Pick | None = None
    value: Any = None
    connection_string: Literal["uri", "jdbc", "libpq", "ado_net", "azure_storage"] | None = None


BrokerValue = Literal[
    "location", "tags", "firewall_rules", "ip_rules", "administrator_login", "administrator_password"
]
BrokerParameter = Annotated[
    Annotated[BrokerValue, Tag("word")] | Annotated[DerivedValue, Tag("derived")],
    Discriminator(lambda given: "word" if isinstance(given, str) else "derived"),
]


class Parameters(Strict):
    user: dict[Identifier, UserParameter] = {}
    fixed: dict[Identifier, Any] = {}
    broker: dict[Identifier, BrokerParameter] = {}


class Placement(Strict):
    """
    Where resources go: a `shared` group of the operator's, a group of the instance's `own`, or the `parent`'s.

    A shared group must exist unless `create_group` says that the broker may make it; it is never deleted.
    """

    group: Literal["shared", "own", "parent"] = "shared"
    subscription: Guid | None = None
    resource_group: Annotated[StrictStr, Field(pattern=r"^[-\w.()]{1,89}[-\w()]$")] | None = None
    location: Annotated[StrictStr, Field(pattern=r"^[a-z0-9]{1,60}$")] | None = None
    create_group: StrictBool = False


class NameRuleFile(Strict):
    prefix: Annotated[StrictStr, Field(pattern=r"^[a-z][a-z0-9_-]{0,15}$")]
    max_length: Annotated[StrictInt, Field(ge=20, le=128)]


class ResourceFile(Strict):
    """
    A resource that the template makes: its type and the template parameters that hold its name's segments.

    With `each`, one resource for each item of that array parameter, named by the item's `name`. `tagged`
    resources carry the broker's tags; others belong to the tagged one above them.
    """

    type: Annotated[StrictStr, Field(pattern=r"^[A-Za-z.]+(/[A-Za-z]+)+$")]
    names: Annotated[list[Identifier], Field(min_length=1)]
    each: Identifier | None = None
    tagged: StrictBool = False


class DatabaseFile(Strict):
    """The database inside the server: what is prepared after a deployment and where logins are made."""

    kind: Literal["postgresql", "mysql"]
    host: Pick
    port: StrictInt | None = None
    database: Pick
    owner_role: Pick | None = None
    extensions: Pick | None = None
    server: Literal["own", "parent"]


class Empty(Strict):
    pass


class EndpointFile(Strict):
    host: Pick
    port: Pick
    protocol: Literal["tcp", "udp", "all"] = "tcp"


class ComposeFile(Strict):
    credentials: dict[CredentialKey, CredentialValue]
    endpoints: list[EndpointFile] = []


class RequireFile(Strict):
    """What must hold before anything is made; `otherwise` is told to the person who asked."""

    that: Pick
    otherwise: Description


class PostFile(Strict):
    """A POST `name`, such as listKeys, to what `resource` picks, which has an `id` and an `api_version`."""

    resource: Pick
    type: Annotated[StrictStr, Field(pattern=r"^[A-Za-z.]+(/[A-Za-z]+)+$")]
    name: Annotated[StrictStr, Field(pattern=r"^[A-Za-z]{1,60}$")]


class ActionFile(PostFile):
    """What is picked from the answer is known as `made.<word>` afterwards; it is written down nowhere."""

    word: Identifier
    pick: Annotated[dict[Identifier, Pick], Field(min_length=1)]


class ChildFile(Strict):
    """
    A sub-resource of the binding's own below the resource that `below` picks; deleted by the unbind.

    Its name is `prefix` and the binding's key. In `body`, an object with the one key `pick` stands for what that picks.
    """

    word: Identifier
    below: Pick
    type: Annotated[StrictStr, Field(pattern=r"^[A-Za-z.]+(/[A-Za-z]+){2,}$")]
    api_version: Annotated[StrictStr, Field(pattern=r"^\d{4}-\d\d-\d\d(-preview)?$")]
    prefix: Annotated[StrictStr, Field(pattern=r"^[a-z][a-z0-9-]{0,15}$")]
    body: dict[StrictStr, Any] = {}


class RoleFile(Strict):
    """A role for a principal on a scope; the assignment is deleted by the unbind."""

    scope: Pick
    principal: Pick
    principal_type: Pick | None = None
    definition: Pick


class KeyFile(PostFile):
    pick: Pick


class SasPolicyFile(Strict):
    """A stored access policy of a blob container and a SAS token that hangs on it, as `made.<word>.token`."""

    word: Identifier
    endpoint: Pick
    account: Pick
    container: Pick
    permissions: Pick
    key: KeyFile


class Verb(OneOf):
    """One step of a binding; each that makes something has an undo of its own."""

    require: RequireFile | None = None
    database_user: Empty | None = None
    action: ActionFile | None = None
    child: ChildFile | None = None
    role: RoleFile | None = None
    sas_policy: SasPolicyFile | None = None
    compose: ComposeFile | None = None


class ModeFile(Strict):
    """One way to bind, and the bind parameters that it cannot do without."""

    needs: list[Identifier] = []
    binding: Annotated[list[Verb], Field(min_length=1)]


class BindingModesFile(Strict):
    """Ways to bind, chosen by the value of the bind parameter `by`, which has a default."""

    by: Identifier
    modes: Annotated[dict[Identifier, ModeFile], Field(min_length=1)]


Preflight = Literal["none", "reads", "validate"]
"""
What is asked of Azure before an order is accepted: nothing; whether the provider is registered, the region offered, the
group and the permissions there and the names free; or also Azure's own check of the whole, which costs a write.
"""


class PlanFile(Strict):
    id: Guid
    name: Name
    description: Description
    free: StrictBool
    bindable: StrictBool | None = None
    binding_rotatable: StrictBool = False
    plan_updateable: StrictBool | None = None
    maximum_polling_duration: Annotated[StrictInt, Field(ge=60, le=7 * 86400)]
    maintenance_info: MaintenanceInfoFile | None = None
    metadata: dict[StrictStr, Any] = {}
    binding_lifetime: Annotated[StrictInt, Field(ge=60)] | None = None
    placement: Placement | None = None
    preflight: Preflight | None = None
    fixed: dict[Identifier, Any] = {}
    user: dict[Identifier, UserParameter] = {}


class OfferingFile(Strict):
    id: Guid
    name: Name
    description: Description
    bindable: StrictBool
    plan_updateable: StrictBool = False
    instances_retrievable: StrictBool = True
    bindings_retrievable: StrictBool = True
    allow_context_updates: StrictBool = True
    tags: list[StrictStr] = []
    metadata: dict[StrictStr, Any] = {}
    parent: Name | None = None
    takes_alias: StrictBool = False
    provisioner: Literal["arm_template"] = "arm_template"
    template: Annotated[StrictStr, Field(pattern=r"^[A-Za-z0-9._-]+\.json$")]
    preflight: Preflight = "reads"
    placement: Placement = Placement()
    names: dict[Identifier, NameRuleFile] = {}
    resources: Annotated[list[ResourceFile], Field(min_length=1)]
    parameters: Parameters
    database: DatabaseFile | None = None
    bind_parameters: dict[Identifier, UserParameter] = {}
    binding: list[Verb] = []
    binding_modes: BindingModesFile | None = None
    plans: Annotated[list[PlanFile], Field(min_length=1)]
