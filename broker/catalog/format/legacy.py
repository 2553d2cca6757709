"""Offerings of older brokers: their ids, what succeeds them, and how their parameters and credentials are called."""

from typing import Annotated, Any, Literal

from pydantic import Field, StrictBool, StrictStr

from broker.catalog.format.bindings import CredentialValue
from broker.catalog.format.parameters import UserParameter
from broker.catalog.format.values import CredentialKey, Description, Identifier, Name, Strict

OlderGuid = Annotated[StrictStr, Field(pattern=r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$")]
"""As it was published, in whatever case."""
Table = Annotated[dict[StrictStr, Any], Field(max_length=100)]
"""What the values of an older parameter stand for; an empty one leaves them as they are."""


class LegacyParameter(UserParameter):
    """A parameter under the name that the older broker gave it."""

    becomes: Annotated[dict[Identifier, Table], Field(max_length=10)] = {}
    """The parameters of the successor's template that it stands for; without any it has no effect."""


class LegacyPlan(Strict):
    """A plan of an older broker."""

    id: OlderGuid
    """As the older broker published it."""
    name: Name
    """As platforms see it; unique in the offering."""
    known_as: Annotated[list[StrictStr], Field(max_length=10)] = []
    """Names that older brokers gave it, where they are others."""
    successor: Name | None = None
    """The plan of the successor that it is made by; without one, there is none in this release."""
    refused: Description | None = None
    """Why it takes no new orders, although there is a successor."""
    fixed: Annotated[dict[Identifier, Any], Field(max_length=50)] = {}
    """Template parameters with the plan's values."""
    user: Annotated[dict[Identifier, UserParameter], Field(max_length=50)] = {}
    """Narrows the offering's parameters, key by key."""


class LegacyOffering(Strict):
    """A service offering of one or more older brokers."""

    id: OlderGuid
    """As the older broker published it; several brokers may share one."""
    name: Name
    """As platforms see it; unique in the whole catalog."""
    known_as: Annotated[list[StrictStr], Field(min_length=1, max_length=10)]
    """The brokers that had it, and the name that each gave it, such as `OSBA azure-eventhubs`."""
    successor: Name | None = None
    """The offering that it is made by; without one, there is none in this release."""
    parent: Name | Annotated[list[Name], Field(min_length=1, max_length=10)] | None = None
    """For a child: the older offering of which an instance is its parent, or several of them."""
    refused: Description | None = None
    """Why it takes no new orders, although there is a successor."""
    instead: Description | None = None
    """What to order where nothing succeeds it as such: names of offerings."""
    bindable: StrictBool | None = None
    """Where it differs from the successor's."""
    parameters: Annotated[dict[Identifier, LegacyParameter], Field(max_length=100)] = {}
    """What users may give besides the successor's parameters, or instead of those that these become."""
    imports: StrictBool = True
    """Whether operators can import what exists, where the successor says how that is adopted."""
    set: Annotated[dict[StrictStr, Any], Field(max_length=20)] = {}
    """What of the successor's file is otherwise, laid over it as an overlay's `set` is."""
    credentials: Annotated[dict[CredentialKey, CredentialKey | CredentialValue], Field(max_length=50)] = {}
    """Keys that its apps expect besides the successor's: which of those has the value, or how it is made."""
    plans: Annotated[list[LegacyPlan], Field(min_length=1, max_length=100)]
    """Its plans."""


class LegacyFile(Strict):
    """One family of older offerings."""

    legacy: Name
    """The family."""
    offerings: Annotated[list[LegacyOffering], Field(min_length=1, max_length=100)]
    """Its offerings."""


class LegacyModeFile(Strict):
    """Whether older offerings are in the catalog, and shown."""

    legacy_catalog: Literal["hidden", "listed"]
    """`hidden`: for imported instances only. `listed`: they can be ordered, too."""
