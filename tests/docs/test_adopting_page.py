"""The examples of the page on adopting hold for the shipped catalog."""

import json

from tests.catalog.test_overlays import offering_of, overlaid
from tests.docs.test_examples import TOP, blocks

PAGE = TOP / "docs" / "adopting.md"


def test_the_overlay_lets_a_plan_adopt_and_the_order_is_one_that_it_takes():
    texts = {block.language: block.code for block in blocks(PAGE)}

    catalog, faults = overlaid(texts["yaml"])
    offering = offering_of(catalog, "azure-postgresql-server")
    plan = next(plan for plan in offering.plans if plan.name == "burstable")

    assert not faults
    asked = json.loads(texts["json"])
    asked["administratorLoginPassword"] *= 3
    plan.create_parameters.check(asked)
