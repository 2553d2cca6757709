"""The history of deployments: found by group and name, pruned when it grows long."""

from __future__ import annotations

import uuid

from broker.simulator.arm_errors import ArmError
from broker.simulator.clock import Clock
from broker.simulator.deployment_records import Deployment
from broker.simulator.state import Group, State
from broker.simulator.template_scopes import Place

# Microsoft's documentation of deployment history: above 775 the oldest go until 750 are left; 800 is the most.
PRUNE_ABOVE, PRUNE_TO, MOST = 775, 750, 800


class History:
    """The deployments of all groups, the oldest first."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._all: dict[tuple[str, str], Deployment] = {}
        self._unpruned: set[str] = set()

    def find(self, group: str, name: str) -> Deployment:
        """
        Raises:
            ArmError: 404, there is no such group or deployment.
        """
        self._state.group(group)
        found = self.get(group, name)
        if found is None:
            raise ArmError(404, "DeploymentNotFound", f"Deployment '{name}' could not be found.")
        return found

    def get(self, group: str, name: str) -> Deployment | None:
        return self._all.get((group.lower(), name.lower()))

    def of_group(self, group: str) -> list[Deployment]:
        """
        Raises:
            ArmError: 404, there is no such group.
        """
        self._state.group(group)
        return [each for (where, _), each in self._all.items() if where == group.lower()]

    def everywhere(self) -> list[Deployment]:
        return list(self._all.values())

    def make_room(self, group: str, name: str) -> None:
        """
        Prune what is too much, as each deployment and each validation does.

        Raises:
            ArmError: 409, pruning is off and a new name would be one too many.
        """
        every = self.of_group(group)
        if group.lower() not in self._unpruned:
            if len(every) > PRUNE_ABOVE:
                for deployment in [each for each in every if not each.active][: len(every) - PRUNE_TO]:
                    self.drop(group, deployment.name)
        elif len(every) >= MOST and self.get(group, name) is None:
            raise ArmError(
                409,
                "DeploymentQuotaExceeded",
                f"Creating the deployment '{name}' would exceed the quota of '{MOST}'. The current deployment "
                f"count is '{len(every)}', please delete some deployments before creating a new one. Please see "
                "https://aka.ms/arm-deploy for usage details.",
            )

    def keep(self, deployment: Deployment) -> None:
        """Note a deployment as the newest; an earlier one of its name is gone."""
        self.drop(deployment.group.name, deployment.name)
        self._all[deployment.group.name.lower(), deployment.name.lower()] = deployment

    def drop(self, group: str, name: str) -> None:
        """Forget a deployment, running or not; its work goes on. An unknown one is no error."""
        self._all.pop((group.lower(), name.lower()), None)

    def set_pruning(self, group: str, *, on: bool) -> None:
        """Whether the history of a group is pruned, as it is unless its owner opted out."""
        self._state.group(group)
        if on:
            self._unpruned.discard(group.lower())
        else:
            self._unpruned.add(group.lower())

    def fill(self, group: Group, count: int) -> None:
        """Put *count* finished deployments that made nothing into the history of a group."""
        now = Clock.now()
        place = Place(self._state.subscription, self._state.tenant, group.name, group.location, "", {})
        for number in range(count):
            self.keep(
                Deployment(
                    name=f"filled-{number:04}",
                    group=group,
                    subscription=self._state.subscription,
                    place=place,
                    correlation_id=str(uuid.uuid4()),
                    operation_id=str(uuid.uuid4()),
                    template_hash="0",
                    parameters={},
                    targets=[],
                    dependencies=[],
                    tags={},
                    started=now,
                    state="Succeeded",
                    ended=now,
                )
            )
