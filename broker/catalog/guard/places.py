"""Where a fault of a whole catalog is told: at the file and line of the offering or plan."""

from __future__ import annotations

from broker.catalog.faults import Fault, Severity
from broker.domain.catalog import Catalog, Origin


def fault_at(
    catalog: Catalog, one: str, name: str, path: str, message: str, severity: Severity = "refused"
) -> Fault:
    """
    Make a fault at the offering or plan with the id *one*, at *path* below it.

    What was not read from files is known by its *name* alone.
    """
    origin = catalog.origins.get(one, Origin(name, 0, ""))
    whole = f"{origin.path}.{path}" if origin.path and path else origin.path or path
    return Fault(origin.file, origin.line, whole, message, severity)
