"""What the conformance tests order: a catalog with one plan for each way in which plans differ."""

from datetime import UTC, datetime, timedelta
from typing import Any

from broker.domain.catalog import Catalog, MaintenanceInfo, ServiceOffering, ServicePlan

DRAFT = "http://json-schema.org/draft-04/schema#"
VERSION = "1.2.0"

SERVICE = "5c1a52d4-7a3c-4e0b-9a35-2d0b5b6f5f01"
SMALL = "5c1a52d4-7a3c-4e0b-9a35-2d0b5b6f5f11"
LARGE = "5c1a52d4-7a3c-4e0b-9a35-2d0b5b6f5f12"
FIXED = "5c1a52d4-7a3c-4e0b-9a35-2d0b5b6f5f13"
"""Its plan cannot be changed, it cannot be bound, it has no schema and no maintenance information."""
STEPWISE = "5c1a52d4-7a3c-4e0b-9a35-2d0b5b6f5f15"
"""It can become large and nothing else, and says that this takes about ten minutes."""
HURRIED = "5c1a52d4-7a3c-4e0b-9a35-2d0b5b6f5f14"
"""Its operations may take two seconds."""

PLAIN_SERVICE = "5c1a52d4-7a3c-4e0b-9a35-2d0b5b6f5f02"
"""Nothing of it can be fetched, and its context stays as it was."""
PLAIN = "5c1a52d4-7a3c-4e0b-9a35-2d0b5b6f5f21"

HURRY = timedelta(seconds=2)


def _schema(**properties: Any) -> dict[str, Any]:
    return {"$schema": DRAFT, "type": "object", "properties": properties, "additionalProperties": False}


_CHANGEABLE = {
    "size": {"type": "integer", "minimum": 1, "maximum": 100},
    "tier": {"type": "string", "enum": ["cool", "hot"]},
    "note": {"type": "string"},
    "amount": {"type": "number"},
    "labels": {"type": "object"},
}
_CREATE = _schema(**_CHANGEABLE, secret={"type": "string"}, region={"type": "string"})
_UPDATE = _schema(**_CHANGEABLE)
_BIND = _schema(
    role={"type": "string", "enum": ["reader", "writer"]},
    note={"type": "string"},
    key={"type": "string", "maxLength": 60, "pattern": "^[a-z-]*$", "writeOnly": True},
)

USE_TIER = "'colour' is now called 'tier': give cool or hot."
USE_ROLE = "'permissions' is now called 'role': give reader or writer."

_PLAN: dict[str, Any] = {
    "free": False,
    "bindable": True,
    "maximum_polling_duration": timedelta(hours=1),
    "binding_rotatable": True,
    "plan_updateable": True,
    "maintenance_info": MaintenanceInfo(VERSION, "Minimum TLS version becomes 1.2."),
    "metadata": {"displayName": "A plan", "bullets": ["one", "two"]},
    "create_schema": _CREATE,
    "update_schema": _UPDATE,
    "bind_schema": _BIND,
    "sensitive": ("secret",),
    "bind_sensitive": ("key",),
    "refused": {"colour": USE_TIER, "shape": "Things have no shape any more; leave 'shape' out."},
    "bind_refused": {"permissions": USE_ROLE},
    "provisioner": "external",
    "recipe": {"kind": "external"},
}

CATALOG = Catalog(
    offerings=(
        ServiceOffering(
            id=SERVICE,
            name="kept-things",
            description="Keeps things in a system outside.",
            bindable=True,
            plan_updateable=True,
            tags=("things",),
            metadata={"displayName": "Kept things"},
            plans=(
                ServicePlan(id=SMALL, name="small", description="A few things.", **_PLAN),
                ServicePlan(
                    id=LARGE,
                    name="large",
                    description="Many things; bindings end after thirty days.",
                    **(_PLAN | {"binding_lifetime": timedelta(days=30)}),
                ),
                ServicePlan(
                    id=FIXED,
                    name="fixed",
                    description="Stays as it is.",
                    free=True,
                    bindable=False,
                    maximum_polling_duration=timedelta(hours=1),
                    provisioner="external",
                ),
                ServicePlan(
                    id=STEPWISE,
                    name="stepwise",
                    description="Can become large, and nothing else.",
                    **(_PLAN | {"updates_to": (LARGE,), "expected_duration": timedelta(minutes=10)}),
                ),
                ServicePlan(
                    id=HURRIED,
                    name="hurried",
                    description="Has two seconds for everything.",
                    **(_PLAN | {"maximum_polling_duration": HURRY}),
                ),
            ),
        ),
        ServiceOffering(
            id=PLAIN_SERVICE,
            name="plain-things",
            description="Keeps things and never shows them again.",
            bindable=True,
            instances_retrievable=False,
            bindings_retrievable=False,
            allow_context_updates=False,
            plans=(
                ServicePlan(
                    id=PLAIN,
                    name="plain",
                    description="The only one.",
                    free=True,
                    bindable=True,
                    maximum_polling_duration=timedelta(hours=1),
                    provisioner="external",
                ),
            ),
        ),
    ),
    revision=1,
    digest="conformance",
    published_at=datetime(2026, 11, 23, 12, tzinfo=UTC),
)
