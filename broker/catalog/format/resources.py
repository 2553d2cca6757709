"""What a template makes, where, under which names, and the database inside."""

from typing import Annotated, Literal

from pydantic import Field, StrictBool, StrictInt, StrictStr

from broker.catalog.format.values import Guid, Identifier, Pick, Strict


class Placement(Strict):
    """
    Where resources go: a `shared` group of the operator's, a group of the instance's `own`, or the `parent`'s.

    A shared group must exist unless `create_group` says that the broker may make it; it is never deleted.
    """

    group: Literal["shared", "own", "parent"] = "shared"
    """`shared`: a group of the operator's. `own`: one for each instance. `parent`: the parent's."""
    subscription: Guid | None = None
    """Id of the subscription; the broker's own if left out."""
    resource_group: Annotated[StrictStr, Field(pattern=r"^[-\w.()]{1,89}[-\w()]$")] | None = None
    """Name of the shared group; the broker's own if left out."""
    location: Annotated[StrictStr, Field(pattern=r"^[a-z0-9]{1,60}$")] | None = None
    """Azure region, such as westeurope."""
    create_group: StrictBool = False
    """Whether the broker makes a shared group that is missing."""


class NameRuleFile(Strict):
    """How a name is derived for each instance."""

    prefix: Annotated[StrictStr, Field(pattern=r"^[a-z][a-z0-9_-]{0,15}$")]
    """What the name begins with."""
    max_length: Annotated[StrictInt, Field(ge=20, le=128)]
    """The most characters that Azure takes for such a name."""


class PurgeFile(Strict):
    """What Azure keeps of a deleted resource, and when that is deleted, too: `POST locations/.../purge`."""

    collection: Annotated[StrictStr, Field(pattern=r"^[a-z][A-Za-z]{1,60}$")]
    """Where the provider keeps what was deleted, such as deletedVaults."""
    when: Pick
    """A JMESPath expression on `parameters` that is true where it is to be purged."""


class ResourceFile(Strict):
    """
    A resource that the template makes: its type and the template parameters that hold its name's segments.

    With `each`, one resource for each item of that array parameter, named by the item's `name`. `tagged`
    resources carry the broker's tags; others belong to the tagged one above them.
    """

    type: Annotated[StrictStr, Field(pattern=r"^[A-Za-z.]+(/[A-Za-z]+)+$")]
    """The resource type, such as Microsoft.Storage/storageAccounts."""
    names: Annotated[list[Identifier], Field(min_length=1, max_length=10)]
    """The template parameters that hold the segments of its name."""
    each: Identifier | None = None
    """An array parameter: one resource for each of its items."""
    tagged: StrictBool = False
    """Whether it carries the broker's tags, which tell it from a foreign one."""
    purge: PurgeFile | None = None
    """For what Azure keeps for some time after its deletion: where, and when that is deleted, too."""


class DatabaseFile(Strict):
    """The database inside the server: what is prepared after a deployment and where logins are made."""

    kind: Literal["postgresql", "mysql", "sqlserver"]
    """The database's kind."""
    host: Pick
    """A JMESPath expression that picks the server's host name."""
    port: StrictInt | None = None
    """The server's port; the kind's own if left out."""
    database: Pick
    """A JMESPath expression that picks the database's name."""
    owner_role: Pick | None = None
    """A JMESPath expression that picks the name of the role that owns it, as whom nobody signs in."""
    extensions: Pick | None = None
    """A JMESPath expression that picks the extensions to create."""
    server: Literal["own", "parent"]
    """Whether the server is the instance's own or its parent's."""
