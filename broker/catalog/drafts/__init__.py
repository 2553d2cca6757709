"""A first family of files from an ARM template that somebody has: what `osb catalog new` writes. Pure."""

from broker.catalog.drafts.offerings import family
from broker.catalog.drafts.templates import NotDraftable

__all__ = ["NotDraftable", "family"]
