"""An offering and its plans."""

from typing import Annotated, Any, Literal

from pydantic import Field, StrictBool, StrictInt, StrictStr

from broker.catalog.format.adoption import AdoptFile, AdoptionModes
from broker.catalog.format.bindings import BindingModesFile, CredentialChangesFile, RequireFile, Verbs
from broker.catalog.format.metadata import OfferingMetadata, PlanMetadata
from broker.catalog.format.parameters import Parameters, RefusedNames, UserParameter
from broker.catalog.format.resources import DatabaseFile, NameRuleFile, Placement, ResourceFile
from broker.catalog.format.values import VERSION, Description, Guid, Identifier, Name, Strict

Preflight = Literal["none", "reads", "validate"]
"""
What is asked of Azure before an order is accepted: nothing; whether the provider is registered, the region offered, the
group and the permissions there and the names free; or also Azure's own check of the whole, which costs a write.
"""
SCHEMA_FILE = "offering.schema.json"


class MaintenanceInfoFile(Strict):
    """The version of a plan's template; raised when existing instances should be updated."""

    version: Annotated[StrictStr, Field(pattern=VERSION)]
    """A semantic version, such as 1.2.0."""
    description: StrictStr | None = None
    """What the newest version changes, for those who decide when to update."""


class PlanFile(Strict):
    """A plan."""

    id: Guid
    """A new GUID; once published it never changes and is never used again."""
    name: Name
    """As platforms see it; unique in the offering."""
    description: Description
    """One sentence for those who choose."""
    free: StrictBool
    """Whether it costs nothing."""
    extends: Name | None = None
    """Another plan of this offering, whose keys hold where this plan says nothing itself."""
    bindable: StrictBool | None = None
    """Where it differs from the offering's."""
    binding_rotatable: StrictBool = False
    """Whether a binding can be replaced by a new one while the old one still works."""
    plan_updateable: StrictBool | None = None
    """Where it differs from the offering's: whether instances can move to another plan."""
    updates_to: Annotated[list[Name], Field(max_length=200)] | None = None
    """The plans of this offering that an instance can move to; all others if left out and it can move at all."""
    expected_duration: Annotated[StrictInt, Field(ge=1, le=7 * 86400)] | None = None
    """Seconds that a creation or an update usually takes; users are told, nothing is given up by it."""
    maximum_polling_duration: Annotated[StrictInt, Field(ge=60, le=7 * 86400)]
    """Seconds after which an operation is given up; platforms are told the same."""
    maintenance_info: MaintenanceInfoFile | None = None
    """The version of the plan's template."""
    metadata: PlanMetadata = PlanMetadata()
    """What platforms show of it."""
    binding_lifetime: Annotated[StrictInt, Field(ge=60)] | None = None
    """Seconds after which the credentials of a binding are refused."""
    placement: Placement | None = None
    """Where resources go, instead of the offering's."""
    preflight: Preflight | None = None
    """What is asked of Azure beforehand, instead of the offering's."""
    credentials: CredentialChangesFile | None = None
    """What this plan's bindings hand out under other names, or besides."""
    adopt: AdoptionModes = []
    """How users may take over what exists; not at all if left out. The offering's `adopt` says what that can be."""
    deletes_adopted: StrictBool = False
    """Whether users may order that what was adopted by `manage` is deleted with its service instance."""
    fixed: Annotated[dict[Identifier, Any], Field(max_length=200)] = {}
    """Template parameters with the plan's values; users cannot give them."""
    user: Annotated[dict[Identifier, UserParameter], Field(max_length=200)] = {}
    """Narrows the offering's user parameters, key by key."""


class OfferingFile(Strict):
    """A service offering: what platforms see, the ARM template that makes it, and its plans."""

    schema_file: Annotated[
        Annotated[StrictStr, Field(pattern=r"^([^\s]*/)?offering\.schema\.json$")] | None,
        Field(alias="$schema"),
    ] = None
    """Where editors find the JSON schema of this file: `offering.schema.json`, with the way to it."""
    id: Guid
    """A new GUID; once published it never changes and is never used again."""
    name: Name
    """As platforms see it; once published it never changes."""
    description: Description
    """One sentence for those who choose."""
    bindable: StrictBool
    """Whether instances can be bound."""
    plan_updateable: StrictBool = False
    """Whether instances can move to another plan."""
    instances_retrievable: StrictBool = True
    """Whether platforms may fetch instances."""
    bindings_retrievable: StrictBool = True
    """Whether platforms may fetch bindings."""
    allow_context_updates: StrictBool = True
    """Whether platforms may tell that an instance's context has changed."""
    tags: Annotated[list[StrictStr], Field(max_length=100)] = []
    """By which apps find their service."""
    metadata: OfferingMetadata = OfferingMetadata()
    """What platforms show of it."""
    parent: Name | Annotated[list[Name], Field(min_length=1, max_length=10)] | None = None
    """The offering of which an instance is needed first; or several, of which one is needed, the usual one first."""
    takes_alias: StrictBool = False
    """Whether users may give an instance an `alias` by which children name it."""
    provisioner: Literal["arm_template"] = "arm_template"
    """What carries it out."""
    template: Annotated[StrictStr, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*\.json$")]
    """File name of the ARM template, in the same folder."""
    preflight: Preflight = "reads"
    """What is asked of Azure before an order is accepted."""
    placement: Placement = Placement()
    """Where resources go."""
    names: Annotated[dict[Identifier, NameRuleFile], Field(max_length=50)] = {}
    """Names derived for each instance, by a word."""
    resources: Annotated[list[ResourceFile], Field(min_length=1, max_length=100)]
    """What the template makes, in its order, parents first."""
    parameters: Parameters
    """Where each parameter of the template comes from."""
    require: Annotated[list[RequireFile], Field(max_length=50)] = []
    """What must hold of `parameters` and `parent` beyond what a schema can tell, before an order is accepted."""
    database: DatabaseFile | None = None
    """The database inside a server."""
    adopt: AdoptFile | None = None
    """How a resource that exists becomes a service instance, where a plan allows it."""
    bind_parameters: Annotated[dict[Identifier, UserParameter], Field(max_length=100)] = {}
    """What a bind request may give."""
    bind_refused: RefusedNames = {}
    """Names of bind parameters that older brokers knew, each with the sentence that tells what replaces it."""
    binding: Verbs = []
    """How credentials are made."""
    binding_modes: BindingModesFile | None = None
    """Instead of `binding`: several ways to bind."""
    plans: Annotated[list[PlanFile], Field(min_length=1, max_length=200)]
    """The plans."""

    @property
    def parents(self) -> list[str]:
        """The names of the offerings of which a parent may be."""
        return self.parent if isinstance(self.parent, list) else [self.parent] if self.parent else []
