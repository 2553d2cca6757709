"""What the tests order, as requests name it."""

from dataclasses import dataclass
from typing import Any

from broker.catalog.reader import read_catalog
from broker.shipped import shipped

OFFERINGS = {offering.name: offering for offering in read_catalog(shipped("catalog")).offerings}


@dataclass(frozen=True)
class Ordered:
    """An offering and one of its plans, as requests name them."""

    service_id: str
    plan_id: str

    @classmethod
    def of(cls, offering: str, plan: int | str = 0) -> "Ordered":
        """An offering by its name, and one of its plans by place or name."""
        found = OFFERINGS[offering]
        plans = {known: one.id for place, one in enumerate(found.plans) for known in (place, one.name)}
        return cls(found.id, plans[plan])

    def body(self, **more: Any) -> dict[str, Any]:
        return {"service_id": self.service_id, "plan_id": self.plan_id, **more}

    def order(self, **parameters: Any) -> dict[str, Any]:
        return self.body(organization_guid="an-organization", space_guid="a-space", parameters=parameters)


ALL_IN_ONE = Ordered.of("azure-postgresql")
SHARED_SERVER = Ordered.of("azure-postgresql-server")
DATABASE = Ordered.of("azure-postgresql-database")
