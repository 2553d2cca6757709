"""What an order would come to: the pre-flight alone, for operators."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import uuid4

from broker.domain.instances import Context
from broker.domain.json_values import JsonObject
from broker.domain.operators import Operator
from broker.domain.requests import Caller, ProvisionRequest
from broker.errors import BrokerError, MalformedRequest, Unavailable, shown
from broker.lifecycle.instances import Instances, refused
from broker.lifecycle.options import CatalogSource


@dataclass(frozen=True)
class Foretold:
    """
    What an order would be answered. `accepted` says whether it would be; if not, `status` and `error` are the answer's.

    Nothing was made for it, and nothing is left of it but a row in the audit and the operation that asked Azure.
    """

    accepted: bool
    description: str
    status: int | None = None
    error: str | None = None


class PreflightAdministration:
    """Tries orders out, without making anything."""

    def __init__(self, instances: Instances, catalog: CatalogSource) -> None:
        self._instances = instances
        self._catalog = catalog

    async def foretell(
        self,
        operator: Operator,
        plan: str,
        parameters: JsonObject,
        context: Context,
        *,
        platform: str | None = None,
    ) -> Foretold:
        """
        Say what an order of *plan* (OFFERING/PLAN, or a plan's id) by *platform* would be answered.

        Raises:
            MalformedRequest: There is no such plan.
            Unavailable: The store or Azure did not answer.
        """
        offering_id, plan_id = self._meant(plan)
        request = ProvisionRequest(
            Caller(platform or f"operator {operator.name}"),
            str(uuid4()),
            offering_id,
            plan_id,
            parameters,
            context,
            accepts_incomplete=True,
        )
        try:
            told = await self._instances.try_out(request)
        except Unavailable:
            raise
        except BrokerError as refusal:
            return Foretold(False, refusal.description, refusal.status, refusal.code)
        if told.refusal is None:
            return Foretold(True, told.description)
        answer = refused(told.refusal, told.description)
        return Foretold(False, told.description, answer.status, answer.code)

    def _meant(self, text: str) -> tuple[str, str]:
        for offering in self._catalog.current().offerings:
            for plan in offering.plans:
                if text in {plan.id, f"{offering.name}/{plan.name}"}:
                    return offering.id, plan.id
        raise MalformedRequest(f"The catalog has no plan {shown(text)}; give OFFERING/PLAN or a plan's id.")
