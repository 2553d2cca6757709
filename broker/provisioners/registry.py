"""The provisioners that there are, by the name that plans give them."""

from __future__ import annotations

from collections.abc import Mapping

from broker.azure.arm import Arm
from broker.provisioners.arm_template import ArmTemplate
from broker.provisioners.base import Provisioner
from broker.provisioners.options import ProvisionerOptions


def registry(options: ProvisionerOptions, arm: Arm) -> Mapping[str, Provisioner]:
    """Make one of each provisioner; each serves all operations of this process."""
    return {"arm_template": ArmTemplate(arm, options)}
