"""
The generic provisioner: an ARM template, parameters derived from the order, a database block, binding verbs.

Phases, which are kept in operation rows and therefore never change their meaning:

    create  [check ->] "" -> [group ->] submit -> wait -> database -> done, or, to adopt, [check ->] "" -> tag -> done
    update  "" -> submit -> wait -> remove -> database -> done, or, of what is bound only, "" -> done
    delete  "" -> remove -> [release ->] roles -> history -> done
    bind    "" -> [reach ->] verbs -> done
    unbind  "" -> done
    refresh "" -> done
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from broker.azure.arm import Arm
from broker.azure.failures import Invalid
from broker.domain import operations
from broker.domain.adoption import AdoptionMode, adopted_as
from broker.domain.operations import OperationKind
from broker.provisioners.adopting import Adopting
from broker.provisioners.base import FIRST_VERSION, Next, Outcome, StepFailed, Work
from broker.provisioners.bindings import Bindings
from broker.provisioners.creation import Creation
from broker.provisioners.keys import Keys
from broker.provisioners.options import ProvisionerOptions
from broker.provisioners.preflight import Preflight
from broker.provisioners.removal import Removal
from broker.provisioners.updating import Updating
from broker.provisioners.verdicts import Impossible, Vanished

# What people are told: which part of how many the phase belongs to.
_PARTS: Mapping[str, Mapping[str, int]] = {
    "create": {"tag": 2, "group": 2, "submit": 2, "wait": 2, "database": 3},
    "update": {"submit": 2, "wait": 2, "remove": 3, "database": 3},
    "delete": {"": 1, "remove": 2, "release": 3, "roles": 3, "history": 3},
    "bind": {"reach": 1, "verbs": 2},
}


class ArmTemplate:
    """Carries out plans that are an ARM template with declared bindings (see `broker.provisioners.base`)."""

    handler_versions: Mapping[OperationKind, frozenset[int]] = MappingProxyType(
        {**FIRST_VERSION, OperationKind.PROVISION: frozenset({1, 2})}
    )
    """2 knows the phase `check` of a creation."""

    def __init__(self, arm: Arm, options: ProvisionerOptions) -> None:
        self._preflight = Preflight(arm, options)
        self._creation = Creation(arm, options)
        self._adopting = Adopting(arm, options)
        self._updating = Updating(arm, options, self._creation, self._adopting)
        self._removal = Removal(arm, options)
        self._bindings = Bindings(arm, options)
        self._keys = Keys(arm, options)

    async def create(self, work: Work) -> Next:
        """Take one step towards a new instance."""
        return _counted("create", await self._create(work))

    async def _create(self, work: Work) -> Next:
        try:
            match work.operation.phase:
                case operations.CHECK | "":
                    return await self._begin(work)
                case "tag":
                    return await self._adopting.tag(work)
                case "group":
                    return await self._creation.group(work)
                case "submit":
                    return await self._creation.submit(work)
                case "wait":
                    return await self._creation.wait(work, then="database")
                case "database":
                    return await self._creation.database(work)
        except Impossible as impossible:
            return Next(Outcome.FAILED, description=impossible.description)
        raise _unknown(work)

    async def _begin(self, work: Work) -> Next:
        checks = work.operation.phase == operations.CHECK
        wanted = self._adopting.wanted(work)
        if wanted is not None:
            look = self._adopting.check if checks else self._adopting.look
            return await look(work, wanted)
        return await (self._preflight.check(work) if checks else self._creation.look(work))

    async def update(self, work: Work) -> Next:
        """
        Take one step towards what is asked; whatever fails, the instance is asked to be what it was.

        What can never work is not repeatable; quota, policy and the like are, since somebody may mend them. Usable is
        what Azure says so of, after a failure in the middle.
        """
        return _counted("update", await self._update(work))

    async def _update(self, work: Work) -> Next:
        try:
            match work.operation.phase:
                case "" if adopted_as(work.instance.record) is AdoptionMode.BIND_ONLY:
                    return await self._adopting.again(work)
                case "":
                    return await self._updating.look(work)
                case "submit":
                    return await self._creation.submit(work)
                case "wait":
                    step = await self._creation.wait(work, then="remove")
                    return (
                        step
                        if step.outcome is not Outcome.FAILED
                        else await self._updating.judged(work, step)
                    )
                case "remove":
                    return await self._updating.remove(work)
                case "database":
                    return await self._creation.database(work)
        except Vanished as vanished:
            return _update_failed(vanished.description, repeatable=False, usable=False)
        except Impossible as impossible:
            return _update_failed(impossible.description, repeatable=False)
        except StepFailed as failed:
            if failed.retryable:
                raise
            return _update_failed(failed.description, repeatable=not isinstance(failed.__cause__, Invalid))
        raise _unknown(work)

    async def delete(self, work: Work) -> Next:
        """Take one step towards nothing being left."""
        return _counted("delete", await self._delete(work))

    async def _delete(self, work: Work) -> Next:
        try:
            match work.operation.phase:
                case "":
                    return await self._removal.cancel(work)
                case "remove":
                    return await self._removal.remove(work)
                case "release":
                    return await self._adopting.release(work)
                case "roles":
                    return await self._removal.roles(work)
                case "history":
                    return await self._removal.history(work)
        except Impossible as impossible:
            return Next(Outcome.FAILED, description=impossible.description)
        raise _unknown(work)

    async def bind(self, work: Work) -> Next:
        """Take one step towards credentials."""
        return _counted("bind", await self._bind(work))

    async def _bind(self, work: Work) -> Next:
        try:
            match work.operation.phase:
                case "":
                    return await self._bindings.prepare(work)
                case "reach":
                    return await self._bindings.reach(work)
                case "verbs":
                    return await self._bindings.verbs(work)
        except Impossible as impossible:
            return Next(Outcome.FAILED, description=impossible.description, refusal=impossible.refusal)
        raise _unknown(work)

    async def unbind(self, work: Work) -> Next:
        """Take the one step after which the credentials are refused."""
        try:
            return await self._bindings.undo(work)
        except Impossible as impossible:
            return Next(Outcome.FAILED, description=impossible.description)

    async def refresh(self, work: Work) -> Next:
        """Take the one step after which the credentials hold the keys of now."""
        try:
            return await self._keys.refresh(work)
        except Impossible as impossible:
            return Next(Outcome.FAILED, description=impossible.description)


def _counted(method: str, step: Next) -> Next:
    parts = _PARTS[method]
    if step.outcome is not Outcome.GO_ON or step.phase not in parts:
        return step
    return replace(step, number=parts[step.phase], of=max(parts.values()))


def _update_failed(description: str, *, repeatable: bool, usable: bool = True) -> Next:
    return Next(Outcome.FAILED, description=description, instance_usable=usable, update_repeatable=repeatable)


def _unknown(work: Work) -> ValueError:
    return ValueError(f"This version knows no phase {work.operation.phase!r} of {work.operation.kind}.")
