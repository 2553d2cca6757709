"""What exists in Azure already and can be ordered as a service instance."""

from typing import Annotated, Literal

from pydantic import Field, StrictBool, StrictInt, StrictStr

from broker.catalog.format.bindings import PartFile, RequireFile
from broker.catalog.format.parameters import UserParameter
from broker.catalog.format.values import Identifier, Pick, Strict

AdoptionModes = Annotated[list[Literal["bind-only", "manage"]], Field(max_length=2)]
"""`bind-only`: it is never changed. `manage`: it carries the broker's tags, and updates change it."""


class AdministratorFile(Strict):
    """The administrator of an adopted database server; the sign-in is tried before the order is accepted."""

    kind: Literal["postgresql", "mysql", "sqlserver"]
    """The kind of database server."""
    host: Pick
    """A JMESPath expression that picks the server's host name."""
    port: StrictInt | None = None
    """The server's port; the kind's own if left out."""
    login: Pick
    """A JMESPath expression that picks the administrator's name."""
    password: Pick
    """A JMESPath expression that picks the administrator's password."""


class BelowFile(Strict):
    """A resource below the adopted one, of a type that the template makes; it is read with that one."""

    type: Annotated[StrictStr, Field(pattern=r"^[A-Za-z.]+(/[A-Za-z]+)+$")]
    """Its type."""
    name: Pick
    """A JMESPath expression that picks its name below the adopted one; where that has several parts, with slashes."""


class AdoptFile(Strict):
    """
    How a resource that exists becomes a service instance: what of it stands where a deployment's outputs would.

    It is of the type of the first one of `resources`. Expressions pick from `resource` (what Azure's GET shows, with
    `name` as the last segment of its id), `below`, `parameters` and `parent`.
    """

    only: StrictBool = False
    """Whether instances can only be adopted, never made."""
    modes: Annotated[AdoptionModes, Field(min_length=1)] = ["bind-only", "manage"]
    """The modes that plans may name; `bind-only` where an update would change what nobody asked for."""
    owned: StrictBool = False
    """Whether a database that is adopted has the role that owns it already, by the name that `database` gives it."""
    resource: Pick | None = None
    """A JMESPath expression that picks the resource's id where users give no `resourceId`; with `only`."""
    require: Annotated[list[RequireFile], Field(max_length=50)] = []
    """What must hold of it."""
    names: Annotated[dict[Identifier, Pick], Field(max_length=50)] = {}
    """JMESPath expressions that pick what stands under these words of `names`."""
    below: Annotated[dict[Identifier, BelowFile], Field(max_length=10)] = {}
    """What is read below it, by words under which expressions find it; null where there is none."""
    outputs: Annotated[dict[Identifier, Pick | PartFile], Field(max_length=100)] = {}
    """What the template's outputs of these names would say: JMESPath expressions, or parts of URIs."""
    kept: Annotated[dict[Identifier, Pick], Field(max_length=100)] = {}
    """JMESPath expressions that pick what the resource has of parameters that the template does not set as they are."""
    administrator: AdministratorFile | None = None
    """The administrator of an adopted database server."""
    parameters: Annotated[dict[Identifier, UserParameter], Field(max_length=50)] = {}
    """What users give besides when they adopt; the same form as user parameters, each with its `type`."""
