"""Who comes from Open Service Broker for Azure finds each parameter, or is told what took its place."""

from pathlib import Path

import pytest
import yaml

from broker.catalog.reader import read_catalog
from broker.shipped import shipped

FORMER = yaml.safe_load((Path(__file__).parent / "former_parameters.yaml").read_text())
OFFERINGS = {offering.name: offering for offering in read_catalog(shipped("catalog")).offerings}


@pytest.mark.parametrize("name", FORMER)
def test_every_parameter_of_before_can_be_given_or_is_refused_with_what_replaces_it(name):
    former, plans = FORMER[name], OFFERINGS[name].plans

    silent = [
        (plan.name, parameter)
        for plan in plans
        for parameter in former["order"]
        if parameter not in plan.refused
        and not any(parameter in other.create_schema["properties"] for other in plans)
    ]
    at_bind = [
        (plan.name, parameter)
        for plan in plans
        for parameter in former.get("bind", ())
        if parameter not in plan.bind_refused and parameter not in plan.bind_schema["properties"]
    ]

    assert (silent, at_bind) == ([], [])


def test_what_is_refused_is_told_in_a_sentence_that_helps():
    short = [
        (plan.name, name, sentence)
        for offering in OFFERINGS.values()
        for plan in offering.plans
        for name, sentence in {**plan.refused, **plan.bind_refused}.items()
        if len(sentence.split()) < 4 or not sentence.endswith(".")
    ]

    assert short == []
