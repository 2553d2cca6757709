"""What the routes of the admin API are handed."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

from broker.domain.operators import Operator
from broker.lifecycle.administration.binding_keys import BindingKeyAdministration
from broker.lifecycle.administration.bindings import BindingAdministration
from broker.lifecycle.administration.catalog import CatalogAdministration
from broker.lifecycle.administration.deletions import DeletionAdministration
from broker.lifecycle.administration.imports import Imports
from broker.lifecycle.administration.instances import InstanceAdministration
from broker.lifecycle.administration.inventory import InventoryAdministration
from broker.lifecycle.administration.keys import KeyAdministration
from broker.lifecycle.administration.operations import OperationAdministration
from broker.lifecycle.administration.past import PastAdministration
from broker.lifecycle.administration.preflight import PreflightAdministration


@dataclass(frozen=True)
class AdminParts:
    """What operators may ask, and how much of a body is read."""

    instances: InstanceAdministration
    bindings: BindingAdministration
    binding_keys: BindingKeyAdministration
    operations: OperationAdministration
    deletions: DeletionAdministration
    past: PastAdministration
    inventory: InventoryAdministration
    keys: KeyAdministration
    preflight: PreflightAdministration
    imports: Imports
    catalog: CatalogAdministration
    body_limit: int


def parts_of(request: Request) -> AdminParts:
    """Return what `create_admin_app` has put together."""
    parts: AdminParts = request.app.state.parts
    return parts


def operator_of(request: Request) -> Operator:
    """Return the operator whom the front has believed."""
    operator: Operator = request.scope["osb.operator"]
    return operator
