"""`GET /v2/catalog`: what a platform may order, written once for each revision (spec, "Catalog Management")."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any

from broker.api.answers import JSON_TYPE
from broker.domain.catalog import Catalog, ServiceOffering, ServicePlan
from broker.domain.json_values import JsonObject
from broker.domain.tenant_rules import Audience, TenantRules
from broker.domain.tenant_terms import tailored
from broker.lifecycle.options import CatalogSource, NoRules, RulesSource

Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True)
class _Page:
    published_at: datetime | None
    """None where it does not tell when the page was last changed."""
    body: bytes
    etag: bytes
    headers: Headers
    """Of a whole answer."""
    short_headers: Headers
    """Of a 304."""


_ANYBODY = ("", "")


class CatalogPage:
    """
    The newest catalog as bytes, with what it takes to answer that nothing has changed.

    The tag comes from the bytes, so all replicas that serve the same text agree on it.
    """

    def __init__(self, source: CatalogSource, rules: RulesSource | None = None) -> None:
        self._source = source
        self._rules = rules or NoRules()
        self._of: tuple[Catalog, TenantRules] | None = None
        self._pages: dict[tuple[str, str], _Page] = {}
        """By platform and view; equal pages are one object."""
        self._written: dict[tuple[str, ...], _Page] = {}
        """By the names of the rules that it depends on."""
        self._next: (
            tuple[Catalog, TenantRules, dict[tuple[str, str], _Page], dict[tuple[str, ...], _Page]] | None
        ) = None

    def prepare(self, catalog: Catalog) -> None:
        """Write the pages of a catalog that is about to be served, for all who have asked; in any thread."""
        rules = self._rules.current()
        pages: dict[tuple[str, str], _Page] = {}
        written: dict[tuple[str, ...], _Page] = {}
        # What is common to all is asked for by somebody soon, if it was not yet.
        for platform, view in [*self._pages, _ANYBODY]:
            pages[platform, view] = _page_of(catalog, rules, platform, view, written)
        self._next = catalog, rules, pages, written

    def answer(
        self, platform: str, view: str, if_none_match: bytes | None, if_modified_since: bytes | None
    ) -> tuple[int, Headers, bytes]:
        """Return status, headers and body; a tag outweighs a date (RFC 9110, section 13.2.2)."""
        page = self._page(platform, view)
        if if_none_match is not None:
            if if_none_match == page.etag or _matches(if_none_match, page.etag):
                return 304, page.short_headers, b""
        elif if_modified_since is not None and _unchanged_since(if_modified_since, page.published_at):
            return 304, page.short_headers, b""
        return 200, page.headers, page.body

    def _page(self, platform: str, view: str) -> _Page:
        catalog, rules = self._source.current(), self._rules.current()
        if self._of is None or self._of[0] is not catalog or self._of[1] is not rules:
            self._of, self._pages, self._written = (catalog, rules), {}, {}
            if self._next is not None and self._next[0] is catalog and self._next[1] is rules:
                _, _, self._pages, self._written = self._next
            self._next = None
        page = self._pages.get((platform, view))
        if page is None:
            page = self._pages[platform, view] = _page_of(catalog, rules, platform, view, self._written)
        return page


def _page_of(
    catalog: Catalog,
    rules: TenantRules,
    platform: str,
    view: str,
    written: dict[tuple[str, ...], _Page],
) -> _Page:
    """Return what somebody sees; who goes by the same rules shares a page."""
    audience = rules.audience(platform, view)
    names = tuple(rule.name for rule in audience.rules)
    page = written.get(names)
    if page is None:
        seen = seen_by(catalog, audience)
        page = written[names] = _written(seen, dated=not rules.rules)
    return page


def seen_by(catalog: Catalog, audience: Audience) -> Catalog:
    """
    Return the catalog with the plans alone that somebody in the audience may order.

    Their schemas say what rules have in store for all of these alike.
    """
    if not audience.rules:
        return catalog
    offerings = (
        replace(
            offering,
            plans=tuple(
                tailored(plan, audience.certain(offering.name, plan.name))
                for plan in offering.plans
                if audience.shows(offering.name, plan.name)
            ),
        )
        for offering in catalog.offerings
    )
    return replace(catalog, offerings=tuple(offerings))


def document(catalog: Catalog) -> dict[str, Any]:
    """Return the catalog in the specification's words: what can be ordered, and not how it is carried out."""
    # An offering without a plan would stop Service Catalog from reading all the others.
    return {"services": list(_services(catalog))}


def _services(catalog: Catalog) -> Iterator[dict[str, Any]]:
    return (_offering(offering) for offering in catalog.offerings if offering.offered)


def _offering(offering: ServiceOffering) -> dict[str, Any]:
    return _without_empty(
        {
            "id": offering.id,
            "name": offering.name,
            "description": offering.description,
            "tags": list(offering.tags),
            "requires": list(offering.requires),
            "bindable": offering.bindable,
            "instances_retrievable": offering.instances_retrievable,
            "bindings_retrievable": offering.bindings_retrievable,
            "allow_context_updates": offering.allow_context_updates,
            "plan_updateable": offering.plan_updateable,
            "metadata": dict(offering.metadata),
            "plans": [_plan(plan) for plan in offering.offered],
        }
    )


def _plan(plan: ServicePlan) -> dict[str, Any]:
    info = plan.maintenance_info
    return _without_empty(
        {
            "id": plan.id,
            "name": plan.name,
            "description": plan.description,
            "metadata": dict(plan.metadata),
            # Service Catalog takes a missing `free` for false, the specification for true: never leave it out.
            "free": plan.free,
            "bindable": plan.bindable,
            "binding_rotatable": plan.binding_rotatable,
            "plan_updateable": plan.plan_updateable,
            "maximum_polling_duration": int(plan.maximum_polling_duration.total_seconds()),
            "maintenance_info": _without_empty({"version": info.version, "description": info.description})
            if info
            else None,
            "schemas": _schemas(plan),
        }
    )


def _schemas(plan: ServicePlan) -> dict[str, Any]:
    def parameters(schema: JsonObject | None) -> dict[str, Any] | None:
        return None if schema is None else {"parameters": dict(schema)}

    instance = {"create": parameters(plan.create_schema), "update": parameters(plan.update_schema)}
    binding = {"create": parameters(plan.bind_schema)}
    return _without_empty(
        {"service_instance": _without_empty(instance), "service_binding": _without_empty(binding)}
    )


def _without_empty(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None and value not in ({}, [])}


def _written(catalog: Catalog, *, dated: bool) -> _Page:
    # One at a time, between which others have their turn: the text of a large catalog takes a third of a second.
    services = (
        json.dumps(service, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
        for service in _services(catalog)
    )
    body = b'{"services":[' + b",".join(services) + b"]}"
    etag = b'"' + hashlib.sha256(body).hexdigest()[:32].encode() + b'"'
    short: Headers = [(b"etag", etag), (b"cache-control", b"private, no-cache")]
    published_at = catalog.published_at if dated else None
    if published_at is not None:
        short.append((b"last-modified", format_datetime(published_at, usegmt=True).encode()))
    whole = [
        (b"content-type", JSON_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        *short,
    ]
    return _Page(published_at=published_at, body=body, etag=etag, headers=whole, short_headers=short)


def _matches(if_none_match: bytes, etag: bytes) -> bool:
    tags = [tag.strip().removeprefix(b"W/") for tag in if_none_match.split(b",")]
    return etag in tags or tags == [b"*"]


def _unchanged_since(if_modified_since: bytes, published_at: datetime | None) -> bool:
    if published_at is None:
        return False
    try:
        since = parsedate_to_datetime(if_modified_since.decode("ascii"))
        # HTTP dates have whole seconds.
        return published_at.replace(microsecond=0) <= since
    except (ValueError, TypeError, OverflowError):
        return False
