"""
What must be true of a catalog before it is published, beyond its form.

The guard reads; it changes nothing and asks nobody. Pure.
"""

from broker.catalog.guard.changes import refusals
from broker.catalog.guard.offerings import faults_of_catalog, faults_of_offering

__all__ = ["faults_of_catalog", "faults_of_offering", "refusals"]
