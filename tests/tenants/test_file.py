"""The file of tenant rules: what is refused, with the line of it, and what is warned of."""

import pytest
from jsonschema import Draft202012Validator

from broker.catalog.files import read_yaml
from broker.catalog.reader import read_catalog
from broker.shipped import shipped
from broker.tenants.checking import findings
from broker.tenants.format import json_schema
from broker.tenants.reader import LARGEST_FILE, TenantRulesRefused, parsed, read_rules

ACCOUNT = "azure-storage-account"
LRS = f"{ACCOUNT}/standard-lrs"
CATALOG = read_catalog(shipped("catalog"))


def found_in(text: str) -> list[str]:
    """Everything that is wrong with rules of that text, without the file's name."""
    read = parsed("rules.yaml", text.encode())
    found = findings(read, CATALOG) if not read.faults else list(read.faults)
    return [str(fault).removeprefix("rules.yaml") for fault in found]


def rule(text: str, *, before: str = "") -> str:
    """A file with one rule, whose values stand on the lines from the third on."""
    return f"{before}rules:\n  - name: one\n    {text}\n"


REFUSED = {
    "no rules at all": ("{}", ":1: rules: is missing"),
    "an unknown key": (rule("plan: []"), ":3: rules[0].plan: is not known to this version"),
    "a key twice": (rule("location: a\n    location: b"), ":4: rules[0].location: is there twice"),
    "an alias": ("rules: &a []\nviews: *a", ":1: anchors and aliases are not allowed"),
    "a name twice": (
        "rules:\n  - name: one\n  - name: one",
        ":3: rules[1].name: there is a rule 'one' above",
    ),
    "an empty pattern": (
        rule("when: {namespace: ''}"),
        ":3: rules[0].when.namespace[0]: string should have at least 1 character",
    ),
    "an annotation of the instance": (
        rule("when: {instance_annotations: {a: b}}"),
        ":3: rules[0].when.instance_annotations: is not known to this version",
    ),
    "a place that is nowhere": (
        rule("place: {}"),
        ":3: rules[0].place: must have subscription, resource_group or both",
    ),
    "plans that say nothing": (rule("plans: {}"), ":3: rules[0].plans: must have allow, deny or both"),
    "a tag of the broker's own": (
        rule("tags: {OSB-platform: x}"),
        ":3: rules[0].tags.OSB-platform: tags whose names begin with 'osb-' are the broker's own",
    ),
    "a tag twice but for case": (
        rule("tags: {team: x, other: z, Team: y}"),
        ":3: rules[0].tags.Team: is there twice: Azure keeps no case in the names of tags",
    ),
    "a parameter forced and not": (
        rule("parameters: {azure-storage-account: {force: {accessTier: Hot}, default: {accessTier: Hot}}}"),
        ":3: rules[0].parameters.azure-storage-account: has accessTier under force and under default",
    ),
    "a view that would hide an address": (
        rule("location: a", before="views: {admin: {}}\n"),
        ":1: views.admin: is an address of the broker's own; choose another name",
    ),
    "a quota below nothing": (
        rule("quotas: {q: {limit: -1, per: space}}"),
        ":3: rules[0].quotas.q.limit: input should be greater than or equal to 0",
    ),
    "keys that no platform tells together": (
        rule("when: {namespace: a, organization: b}"),
        ":3: rules[0].when: can never match: no platform tells both namespace and organization",
    ),
    "a view that there is not": (
        rule("when: {view: inner}", before="views: {inside: {}}\n"),
        ":4: rules[0].when.view: can never match: 'inner' is no view of this file; known are: inside",
    ),
    "an organization of Service Catalog's": (
        rule("when: {platform: k8s, organization: o}", before="platforms: {k8s: service-catalog}\n"),
        ":4: rules[0].when.organization: can never match: platforms of the kind service-catalog never tell it",
    ),
    "a namespace of Cloud Foundry's": (
        rule("when: {platform: [cf-eu, cf-us], namespace: n}", before="platforms: {cf-*: cloudfoundry}\n"),
        ":4: rules[0].when.namespace: can never match: platforms of the kind cloudfoundry never tell it",
    ),
    "a space's annotation of Korifi's": (
        rule("when: {platform: k, space_annotations: {a: b}}", before="platforms: {k: korifi}\n"),
        ":4: rules[0].when.space_annotations: can never match: platforms of the kind korifi never tell it",
    ),
    "a value that its plan refuses": (
        rule("parameters: {azure-storage-account/standard-lrs: {force: {accessTier: Warm}}}"),
        (
            f":3: rules[0].parameters.{LRS}.force.accessTier: {LRS} does not take it: "
            '\'accessTier\' must be one of ["Hot", "Cool", "Cold"].'
        ),
    ),
}

WARNED = {
    "an offering that there is not": (
        rule("plans: {allow: [azure-redis]}"),
        ":3: rules[0].plans.allow: warning: 'azure-redis' is no plan of the catalog",
    ),
    "a plan that there is not": (
        rule("quotas: {q: {limit: 1, per: space, plans: [azure-postgresql/tiny]}}"),
        ":3: rules[0].quotas.q.plans: warning: 'azure-postgresql/tiny' is no plan of the catalog",
    ),
    "a parameter that there is not": (
        rule("parameters: {azure-storage-account: {force: {accesTier: Hot}}}"),
        f":3: rules[0].parameters.{ACCOUNT}.force.accesTier: warning: no plan of '{ACCOUNT}' has such a parameter",
    ),
    "a parameter that some do not have": (
        rule("parameters: {azure-storage-account: {force: {accessTier: Hot}}}"),
        (
            f":3: rules[0].parameters.{ACCOUNT}.force.accessTier: warning: nothing is given for "
            f"{ACCOUNT}/premium-block-blob: no such parameter there"
        ),
    ),
    "a value that a rule above always gives": (
        (
            "rules:\n  - {name: all, location: westeurope}\n"
            "  - name: pay\n    when: {namespace: pay}\n    location: northeurope"
        ),
        ":5: rules[1].location: warning: is never given: the rule 'all' above is for all of these, and has it",
    ),
    "a scope that the platform does not tell": (
        rule(
            "when: {platform: k}\n    quotas: {q: {limit: 1, per: space}}",
            before="platforms: {k: kubernetes}\n",
        ),
        (
            ":5: rules[0].quotas.q.per: warning: counts all together: platforms of the kind kubernetes never tell "
            "organization or space"
        ),
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_is_refused_with_the_line_and_the_reason_for(case):
    text, sentence = REFUSED[case]

    assert found_in(text) == [sentence]


@pytest.mark.parametrize("case", WARNED)
def test_a_file_is_warned_of(case):
    text, sentence = WARNED[case]

    assert found_in(text) == [sentence]


def test_a_rule_for_a_platform_whose_kind_is_not_told_may_ask_for_anything():
    assert (
        found_in(rule("when: {platform: '*', organization: o}", before="platforms: {k8s: service-catalog}\n"))
        == []
    )


def test_a_file_that_is_too_large_or_not_there_is_refused(tmp_path):
    file = tmp_path / "rules.yaml"
    with pytest.raises(TenantRulesRefused, match=r"rules\.yaml: cannot be read: No such file"):
        read_rules(file)
    file.write_bytes(b"#" * (LARGEST_FILE + 1))

    with pytest.raises(TenantRulesRefused, match="is larger than 1024 KiB"):
        read_rules(file)


def test_the_json_schema_takes_what_the_reader_takes_and_describes_each_key():
    schema = json_schema()
    Draft202012Validator.check_schema(schema)
    text = rule(
        "when: {namespace: [a, b], platform: k}\n    tags: {a: b}", before="views: {inside: {platforms: k}}\n"
    )

    assert Draft202012Validator(schema).is_valid(read_yaml("rules.yaml", text.encode()).data)
    assert not Draft202012Validator(schema).is_valid({"rules": [{"name": "one", "unknown": 1}]})
    for definition in [schema, *schema["$defs"].values()]:
        for name, said in definition["properties"].items():
            assert "description" in said, name
