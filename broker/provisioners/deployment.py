"""
One deployment, started and looked at by its name (level-triggered): nothing to lose in a crash.

The name belongs to the operation. Before each PUT the deployment is looked for, so a lost answer, a crash between
call and save, and two runners by accident all end in one deployment.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from broker.azure.arm import Arm
from broker.azure.deployments import Deployment
from broker.azure.distilling import short_resource
from broker.azure.failures import AzureFailure, TransientConflict, UnknownFailure, failure_from_error
from broker.domain.json_values import JsonObject
from broker.provisioners.base import Work
from broker.provisioners.records import secrets_of
from broker.provisioners.verdicts import from_azure, request_id

LONGEST_POLL = timedelta(seconds=60)
LONGEST_WAIT = timedelta(minutes=10)
"""However late Azure wants to be asked again: a slip of its would hold an operation up to its deadline."""
SLOWEST = 6
"""How many poll intervals lie between two looks at what has been going on for long."""
MOST_ATTEMPTS = 3
"""How often a deployment is started that failed for a reason which may pass."""


@dataclass(frozen=True)
class Target:
    """A deployment by name, with what it deploys."""

    subscription: str
    group: str
    name: str
    template: JsonObject
    parameters: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True)
class Look:
    """
    What a look at the deployment found.

    `ended` with `failure` None is a success. `again`: it is not there or failed for a passing reason; submit it.
    """

    deployment: Deployment | None
    ended: bool = False
    again: bool = False
    failure: AzureFailure | None = None


async def submit(arm: Arm, work: Work, target: Target, *, ended_before: str | None) -> Deployment:
    """
    Make sure that the deployment was started; *ended_before* is the correlation id of a former run to be repeated.

    Raises:
        StepFailed: Azure refused or could not be asked.
    """
    work.guard()
    there = await from_azure(
        arm.get_deployment(target.subscription, target.group, target.name, client_request_id=request_id(work))
    )
    if there is not None:
        repeat = there.terminal and ended_before == (there.correlation_id or "")
        if not repeat:
            return there
    await work.before_change()
    return await from_azure(
        arm.put_deployment(
            target.subscription,
            target.group,
            target.name,
            target.template,
            target.parameters,
            client_request_id=request_id(work),
        )
    )


async def look(
    arm: Arm, work: Work, subscription: str, group: str, name: str, *, grace: timedelta, attempt: int
) -> Look:
    """
    Look at a deployment that was started.

    One that is not there is given *grace* to appear, since Azure may answer before it can be read everywhere,
    and is then to be submitted again, which changes nothing that was made.

    Raises:
        StepFailed: Azure could not be asked.
    """
    work.guard()
    deployment = await from_azure(
        arm.get_deployment(subscription, group, name, client_request_id=request_id(work))
    )
    if deployment is None:
        return Look(None, again=waited(work, "since") > grace)
    if not deployment.terminal or deployment.succeeded:
        return Look(deployment, ended=deployment.succeeded)
    failure = await _failure(arm, work, subscription, group, deployment)
    again = failure.retryable and attempt < _most_attempts(failure)
    return Look(deployment, ended=not again, again=again, failure=failure)


def waited(work: Work, key: str) -> timedelta:
    """Return for how long something has been going on, by the note of its beginning in the operation's state."""
    since = work.operation.state.get(key)
    return work.now - datetime.fromisoformat(since) if since else timedelta(0)


def poll_delay(interval: timedelta, age: timedelta, retry_after: timedelta | None = None) -> timedelta:
    """Return when to look again: soon at first, then ever less often; never before Azure wants it."""
    own = min(max(interval, age / 4), interval * SLOWEST, max(LONGEST_POLL, interval))
    return max(own, min(retry_after or timedelta(0), LONGEST_WAIT))


def retry_delay(interval: timedelta, attempt: int, key: UUID) -> timedelta:
    """
    Return when to start a failed deployment again: later each time, and not with everybody else.

    Databases that were ordered together on one server find it busy together.
    """
    spread = 0.5 + key.int % 1000 / 1000
    return min(interval * min(attempt, SLOWEST) * spread, LONGEST_POLL)


def _most_attempts(failure: AzureFailure) -> int:
    if failure.at_most is not None:
        return failure.at_most
    # What is only busy is tried until the operation's deadline.
    return sys.maxsize if isinstance(failure, TransientConflict) else MOST_ATTEMPTS


async def _failure(
    arm: Arm, work: Work, subscription: str, group: str, deployment: Deployment
) -> AzureFailure:
    correlation = deployment.correlation_id
    main = work.instance.record["main"]["id"]
    if deployment.state == "Canceled":
        return UnknownFailure(
            "Somebody canceled the deployment in Azure",
            code="DeploymentCanceled",
            resource=short_resource(main),
            correlation_id=correlation,
            advice="Order it again, or ask the operator who canceled it.",
        )
    # Azure may repeat in its reasons what it was given.
    secrets = [value for value in secrets_of(work.instance).values() if isinstance(value, str)]
    told = failure_from_error(
        deployment.error or {}, correlation_id=correlation, secrets=secrets, resource=main
    )
    if told.leaves:
        return told
    work.guard()
    failed = await from_azure(
        arm.deployment_failures(subscription, group, deployment.name, client_request_id=request_id(work))
    )
    if not failed:
        return told
    return failure_from_error({"details": failed}, correlation_id=correlation, secrets=secrets, resource=main)
