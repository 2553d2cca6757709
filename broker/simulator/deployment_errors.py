"""How a deployment tells why it failed: the cause nested below it, and no secret in it."""

from __future__ import annotations

import json
from typing import Any

from broker.simulator.arm_errors import ArmError
from broker.simulator.deployment_records import status_word
from broker.simulator.resource_ids import ResourceId

LISTED = "Please see https://aka.ms/arm-deployment-operations for usage details."


def after_acceptance(cause: dict[str, Any], target: ResourceId | None) -> ArmError:
    """A write that was accepted and then failed is reported one level deeper than a refusal."""
    return ArmError(
        409,
        "ResourceDeploymentFailure",
        "The resource write operation failed to complete successfully, because it reached terminal provisioning "
        "state 'Failed'.",
        target=str(target),
        details=[cause],
    )


def failed(error: ArmError, secrets: frozenset[str]) -> dict[str, Any]:
    """The error of a failed deployment: the cause nested below it, a refusal as JSON within a string."""
    error = masked(error, secrets)
    if error.code == "DeploymentOutputEvaluationFailed":
        # Recorded: the outputs are the deployment's own affair, no operation's.
        return error.error()
    if error.code == "ResourceDeploymentFailure":
        cause = error.error()
    else:
        inner = json.dumps({"error": error.error()}, indent=2).replace("\n", "\r\n")
        cause = {"code": status_word(error), "message": inner}
    return {
        "code": "DeploymentFailed",
        "message": "At least one resource deployment operation failed. Please list deployment operations for "
        f"details. {LISTED}",
        "details": [cause],
    }


def masked(error: ArmError, secrets: frozenset[str]) -> ArmError:
    """The same error with each secret replaced by ***."""

    def mask(value: Any) -> Any:
        if isinstance(value, str):
            for secret in sorted(secrets, key=len, reverse=True):
                value = value.replace(secret, "***")
            return value
        if isinstance(value, dict):
            return {key: mask(item) for key, item in value.items()}
        return [mask(item) for item in value] if isinstance(value, list) else value

    details = [mask(dict(detail)) for detail in error.details]
    return ArmError(error.status, error.code, mask(error.message), target=error.target, details=details)
