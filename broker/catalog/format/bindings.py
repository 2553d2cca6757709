"""How credentials are made: the verbs of a binding, and the ways to bind."""

from typing import Annotated, Any, Literal

from pydantic import Field, StrictInt, StrictStr

from broker.catalog.format.values import CredentialKey, Description, Identifier, OneOf, Pick, Strict

DRAWN = frozenset({"password"})
"""What can be drawn for a binding and sealed with it, in the body of a sub-resource: `{secret: password}`."""


class PartFile(Strict):
    """A part of a URI that Azure gives."""

    of: Pick
    """A JMESPath expression that picks the URI."""
    which: Literal["host", "port", "username", "password"]
    """Which of its parts; one that it does not have is left out."""


class MongodbFile(Strict):
    """The URI of an account for MongoDB: as Azure gives it, or for a user of the binding's own."""

    account: Pick
    """A JMESPath expression that picks the URI that Azure gives."""
    username: Pick | None = None
    """A JMESPath expression that picks the user instead of the account itself."""
    password: Pick | None = None
    """A JMESPath expression that picks that user's password."""
    database: Pick | None = None
    """A JMESPath expression that picks the database, where that user signs in."""


class CredentialValue(OneOf):
    """One credential: picked, the same for all, or a connection string."""

    pick: Pick | None = None
    """A JMESPath expression; what picks nothing is left out."""
    value: Any = None
    """The same for every binding; no secret."""
    connection_string: Literal["uri", "jdbc", "libpq", "ado_net", "azure_storage", "redis_uri"] | None = None
    """A connection string, by the name of its form."""
    part: PartFile | None = None
    """A part of a URI."""
    mongodb: MongodbFile | None = None
    """The URI of an account for MongoDB."""


class EntraFile(Strict):
    """An Entra principal: it signs in by its own tokens, and the login has no password."""

    principal: Pick
    """A JMESPath expression that picks the principal's object id."""
    principal_type: Pick | None = None
    """A JMESPath expression that picks what the principal is; ServicePrincipal if left out."""
    client: Pick | None = None
    """A JMESPath expression that picks the principal's client id."""


class DatabaseUserFile(Strict):
    """A login of the binding's own; with no keys (`{}`) it has a password."""

    entra: EntraFile | None = None
    """For whom it is, in place of a password."""
    roles: Pick | None = None
    """A JMESPath expression that picks the login's roles in the database; the kind's own if left out."""


class EndpointFile(Strict):
    """Where the service can be reached (specification, "Endpoint Object")."""

    host: Pick
    """A JMESPath expression that picks the host name."""
    port: Pick
    """A JMESPath expression that picks the port, or the range of ports."""
    protocol: Literal["tcp", "udp", "all"] = "tcp"
    """The protocol."""


class ComposeFile(Strict):
    """The credentials as apps get them; comes last."""

    credentials: Annotated[dict[CredentialKey, CredentialValue], Field(max_length=100)]
    """Each credential by its key."""
    endpoints: Annotated[list[EndpointFile], Field(max_length=50)] = []
    """Where the service can be reached."""


class CredentialChangesFile(Strict):
    """What a plan hands out under other names, or besides."""

    rename: Annotated[dict[CredentialKey, CredentialKey], Field(max_length=100)] = {}
    """The key in the offering's `compose`, and the key that apps get instead."""
    add: Annotated[dict[CredentialKey, CredentialValue], Field(max_length=100)] = {}
    """More credentials, by their key, in every way to bind; what picks nothing is left out."""


class RequireFile(Strict):
    """What must hold before anything is made; `otherwise` is told to the person who asked."""

    that: Pick
    """A JMESPath expression that must be true."""
    otherwise: Description
    """What is told if it is not."""


class PostFile(Strict):
    """A POST `name`, such as listKeys, to what `resource` picks, which has an `id` and an `api_version`."""

    resource: Pick
    """A JMESPath expression that picks the resource, such as record.main."""
    type: Annotated[StrictStr, Field(pattern=r"^[A-Za-z.]+(/[A-Za-z]+)+$")]
    """The resource's type."""
    name: Annotated[StrictStr, Field(pattern=r"^[A-Za-z]{1,60}$")]
    """The action, such as listKeys."""


class ActionFile(PostFile):
    """What is picked from the answer is known as `made.<word>` afterwards; it is written down nowhere."""

    word: Identifier
    """By which later expressions find what was picked: `made.<word>.<name>`."""
    pick: Annotated[dict[Identifier, Pick], Field(min_length=1, max_length=50)]
    """JMESPath expressions on the `answer`, by name."""


class LimitFile(Strict):
    """How many Azure allows; looked at right before one more is made, and told by name when it is reached."""

    at_most: Annotated[StrictInt, Field(ge=1)] | Pick
    """The number, or a JMESPath expression that picks it."""
    counted: Annotated[StrictStr, Field(min_length=1, max_length=100)]
    """What is counted, as it is called in a sentence: authorization rules."""
    remedy: Description
    """A sentence: what to do when no more can be made."""


class ChildFile(Strict):
    """
    A sub-resource of the binding's own below the resource that `below` picks; deleted by the unbind.

    Its name is `prefix` and the binding's key, or a UUID of that key and the resource above. In `body`, an object
    with the one key `pick` stands for what that picks, `{secret: password}` for a password that is drawn for the
    binding.
    """

    word: Identifier
    """By which later expressions find it: `made.<word>.id`, `.name` and, if it has one, `.password`."""
    below: Pick
    """A JMESPath expression that picks the resource above."""
    type: Annotated[StrictStr, Field(pattern=r"^[A-Za-z.]+(/[A-Za-z]+){2,}$")]
    """Its resource type."""
    api_version: Annotated[StrictStr, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}(-preview)?$")]
    """The version of Azure's API that it is made with."""
    naming: Literal["key", "uuid"] = "key"
    """`key`: its name is `prefix` and the binding's key. `uuid`: a UUID, where the product wants one."""
    prefix: Annotated[StrictStr, Field(pattern=r"^[a-z][a-z0-9-]{0,15}$")] | None = None
    """What its name begins with; not for a UUID."""
    qualifier: Pick | None = None
    """Where names have two parts, a JMESPath expression that picks the one before the dot."""
    body: dict[StrictStr, Any] = {}
    """What is sent; `pick` may pick from `child`, too: its `name` without the qualifier."""
    when: Pick | None = None
    """A JMESPath expression; unless it is true there is none, and what picks from it picks nothing."""
    limit: LimitFile | None = None
    """How many of its kind Azure allows below one resource."""

    @property
    def is_more_than_a_key(self) -> bool:
        """Whether it is more than something that always is there, named by its prefix and the binding's key."""
        simple = self.naming == "key" and self.qualifier is None and self.when is None and self.limit is None
        return not simple or _has_secret(self.body)


def _has_secret(body: Any) -> bool:
    if isinstance(body, dict):
        return set(body) == {"secret"} or any(_has_secret(value) for value in body.values())
    return isinstance(body, list) and any(_has_secret(value) for value in body)


class RoleFile(Strict):
    """A role for a principal on a scope; the assignment is deleted by the unbind."""

    scope: Pick
    """A JMESPath expression that picks the id of the resource."""
    principal: Pick
    """A JMESPath expression that picks the principal's object id."""
    principal_type: Pick | None = None
    """A JMESPath expression that picks what the principal is; ServicePrincipal if left out."""
    definition: Pick
    """A JMESPath expression that picks the role definition's GUID."""
    when: Pick | None = None
    """A JMESPath expression; unless it is true the role is not assigned."""


class KeyFile(PostFile):
    """The POST that tells a key, and where in its answer."""

    pick: Pick
    """A JMESPath expression on the `answer`."""


class SasPolicyFile(Strict):
    """A stored access policy of a blob container and a SAS token that hangs on it, as `made.<word>.token`."""

    word: Identifier
    """By which later expressions find the token: `made.<word>.token`."""
    endpoint: Pick
    """A JMESPath expression that picks the blob endpoint."""
    account: Pick
    """A JMESPath expression that picks the account's name."""
    container: Pick
    """A JMESPath expression that picks the container's name."""
    permissions: Pick
    """A JMESPath expression that picks the token's permissions, such as rl."""
    key: KeyFile
    """How the account's key is asked for."""


class Verb(OneOf):
    """One step of a binding; each that makes something has an undo of its own."""

    require: RequireFile | None = None
    """Refuse the bind unless something holds."""
    database_user: DatabaseUserFile | None = None
    """Make a login of the binding's own."""
    action: ActionFile | None = None
    """Ask Azure for keys."""
    child: ChildFile | None = None
    """Make a sub-resource."""
    role: RoleFile | None = None
    """Assign a role."""
    sas_policy: SasPolicyFile | None = None
    """Make a SAS token that can be taken back."""
    compose: ComposeFile | None = None
    """Put the credentials together; the last verb."""


Verbs = Annotated[list[Verb], Field(max_length=30)]


class ModeFile(Strict):
    """One way to bind, and the bind parameters that it cannot do without."""

    needs: Annotated[list[Identifier], Field(max_length=50)] = []
    """Bind parameters without which this way is refused."""
    binding: Annotated[Verbs, Field(min_length=1)]
    """Its verbs."""


class BindingModesFile(Strict):
    """Ways to bind, chosen by the value of the bind parameter `by`, which has a default."""

    by: Identifier
    """The bind parameter that chooses."""
    modes: Annotated[dict[Identifier, ModeFile], Field(min_length=1, max_length=20)]
    """The ways, by the parameter's values."""
