"""An Azure Resource Manager to develop against: a process of its own, on loopback, with faults on demand."""
