"""The chart's values: a typo or a contradiction is an error at once, and each is described."""

import json
import re

import pytest
import yaml

from broker.settings import Settings, secret_names
from tests.kubernetes.charts import CHART, NEWEST, TOP, Refused, containers, helm, named, of_kind, rendered
from tests.kubernetes.matrix import MATRIX, NEEDED, POSTGRESQL
from tools.chart import BY_EXTRA_ENV, SET_BY_THE_CHART, described_values, pages

LEAST = MATRIX["the least that is needed"]
needs_helm = pytest.mark.needs("helm")


def test_the_pages_that_follow_from_values_and_settings_are_current():
    for file, text in pages().items():
        assert file.read_text(encoding="utf-8") == text, f"make {file.name} again: python -m tools.chart"


def test_chart_and_program_have_the_same_version():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())

    assert f'version = "{chart["appVersion"]}"' in (TOP / "pyproject.toml").read_text()


def test_each_value_is_described():
    # The runner's values mean what the same ones mean above them.
    left = [path for path, default, comment in described_values() if default and not comment]

    assert [path for path in left if not path.startswith("runner.")] == []


def schema_paths(schema, whole, path=""):
    schema = whole["$defs"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    for name, below in schema.get("properties", {}).items():
        yield f"{path}{name}"
        yield from schema_paths(below, whole, f"{path}{name}.")


def test_schema_and_values_have_the_same_names():
    whole = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())

    def leaves(value, path=""):
        for name, below in value.items():
            yield f"{path}{name}"
            if isinstance(below, dict):
                yield from leaves(below, f"{path}{name}.")

    # What may stand below an empty map, or below what Kubernetes describes.
    free = re.compile(
        r"(settings|catalog\.configMaps|tls\.certManager\.issuerRef|.*[rR]esources|jobs\.pod\w+|.*\.labels|\w+SecurityContext)\."
    )
    in_schema = {path for path in schema_paths(whole, whole) if not free.match(path)} - {"global"}
    assert in_schema == {path for path in leaves(values) if not free.match(path)}


def test_no_object_of_the_schema_takes_names_that_it_does_not_have():
    def open_ones(schema, path):
        if isinstance(schema, dict):
            if "properties" in schema and schema.get("additionalProperties") is not False:
                yield path
            for name, below in schema.items():
                yield from open_ones(below, f"{path}/{name}")

    whole = json.loads((CHART / "values.schema.json").read_text())

    assert list(open_ones(whole, "")) == []


def test_every_setting_of_the_broker_can_be_reached():
    whole = json.loads((CHART / "values.schema.json").read_text())

    in_settings = whole["properties"]["settings"]["properties"].keys()

    assert in_settings | SET_BY_THE_CHART | BY_EXTRA_ENV == Settings.model_fields.keys()
    assert not in_settings & set(secret_names())


@needs_helm
def test_what_the_chart_sets_itself_is_set_by_some_values():
    seen = set()
    for values in MATRIX.values():
        for one in of_kind(rendered(values), "Deployment"):
            for container in containers(one["spec"]["template"]):
                seen |= {variable["name"] for variable in container["env"]}

    for name in SET_BY_THE_CHART:
        assert {f"BROKER_{name.upper()}", f"BROKER_{name.upper()}_FILE"} & seen, name


@needs_helm
@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"setings": {}}, "setings"),
        ({"settings": {"azure_locaton": "westeurope"}}, "azure_locaton"),
        ({"settings": {"log_level": "loud"}}, "log_level"),
        ({"settings": {"lease": 30}}, "lease"),
        ({"settings": {"stop_within": "1m"}}, "stop_within"),
        ({"settings": {"broker_id": None}}, "broker_id"),
        ({"settings": {"platforms": "{}"}}, "platforms"),
        ({"settings": {"port": 1}}, "port"),
        ({"autoscaling": {"minReplica": 2}}, "minReplica"),
        ({"database": {"kind": "mysql"}}, "kind"),
        ({"image": {"digest": "sha256:1"}}, "digest"),
        ({"catalog": {"files": {"an-offering.txt": ""}}}, "an-offering.txt"),
        ({"tenants": {"rules": [{"name": "a"}], "existingConfigMap": "b"}}, "one of them must go"),
        ({"catalog": {"files": {"a/../../b.yaml": ""}}}, "b.yaml"),
        ({"serviceCatalog": {"register": "yes"}}, "register"),
        ({"database": {"existingSecret": ""}}, "database.existingSecret: is needed"),
        ({"database": {"kind": "sqlite"}, "runner": {"separate": True}}, "runner.separate: needs database.kind"),
        ({"database": {"kind": "sqlite"}, "autoscaling": {"enabled": True}}, "autoscaling.enabled: needs"),
        ({"runner": {"autoscaling": {"enabled": True}}}, "of no use without runner.separate"),
        ({"operators": {"ownPort": True}}, "of no use without operators.existingSecret"),
        ({"settings": {"azure_authentication": "client-secret"}}, "azure.clientSecret.existingSecret: is needed"),
        ({"tls": {"certManager": {"enabled": True}}}, "issuerRef.name: is needed"),
        (
            {"platforms": {"existingSecret": "ours"}, "serviceCatalog": {"register": "cluster"}},
            "serviceCatalog.existingSecret: is needed with platforms.existingSecret",
        ),
        (
            {"runner": {"separate": True}, "autoscaling": {"enabled": True, "dueLagSeconds": 5}},
            "set runner.autoscaling.dueLagSeconds",
        ),
    ],
)  # fmt: skip
def test_a_mistake_is_refused_with_the_name_of_the_value(values, told):
    merged = {**LEAST, **values}
    for group in ("settings", "database"):
        merged[group] = {**LEAST[group], **values.get(group, {})}

    with pytest.raises(Refused) as refused:
        rendered(merged)

    assert told in str(refused.value)


@needs_helm
def test_a_cluster_that_is_too_old_is_refused():
    with pytest.raises(Refused, match=r"requires kubeVersion: >=1\.27"):
        rendered(LEAST, version="1.26.9")


@needs_helm
def test_settings_become_what_the_broker_reads(monkeypatch):
    chosen = {"body_limit": 2_097_152, "inventory": False, "egress_addresses": ["192.0.2.1", "192.0.2.2"],
              "azure_api_versions": {"Microsoft.Storage/storageAccounts": "2025-06-01"}, "azure_call_share": 0.5,
              "lease": "45s"}  # fmt: skip
    objects = rendered({"settings": {**NEEDED, **chosen}, "database": POSTGRESQL})
    for name, value in named(objects, "ConfigMap", "broker-azure-service-broker-settings")["data"].items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("BROKER_DATABASE_URL", "sqlite:////tmp/none.sqlite3")
    monkeypatch.setenv("BROKER_SEALING_KEYS", sealing_keys(objects))

    settings = Settings()

    assert settings.body_limit == 2_097_152
    assert settings.inventory is False
    assert settings.egress_addresses == ("192.0.2.1", "192.0.2.2")
    assert settings.azure_api_versions == chosen["azure_api_versions"]
    assert settings.azure_call_share == 0.5
    assert settings.lease.total_seconds() == 45
    assert settings.broker_id == NEEDED["broker_id"]


def sealing_keys(objects):
    import base64

    secret = named(objects, "Secret", "broker-azure-service-broker-sealing-keys")
    return base64.b64decode(secret["data"]["sealing-keys"]).decode()


@needs_helm
def test_the_longest_name_of_a_release_makes_no_name_that_is_too_long():
    options = ("--namespace", "n" * 63, "--kube-version", NEWEST, "--values", "-")
    values = json.dumps(
        MATRIX["production"] | {"runner": {"separate": True}, "autoscaling": {"enabled": False}}
    )

    text = helm("template", "r" * 53, CHART, *options, given=values)

    for one in yaml.safe_load_all(text):
        if one:
            assert len(one["metadata"]["name"]) <= 63
            assert all(len(value) <= 63 for value in one["metadata"]["labels"].values())


def merged(first, second):
    both = {
        key: merged(first[key], second[key])
        for key in first.keys() & second.keys()
        if isinstance(first[key], dict)
    }
    return {**first, **second, **both}


SHOWN = re.findall(
    r"^```yaml\n(.*?)^```$", (TOP / "docs" / "kubernetes.md").read_text(), re.MULTILINE | re.DOTALL
)


@needs_helm
@pytest.mark.parametrize("shown", SHOWN, ids=lambda text: text.splitlines()[0])
def test_the_values_that_the_guide_shows_are_taken(shown):
    assert rendered(merged(LEAST, yaml.safe_load(shown)))


def test_each_value_that_the_guide_names_is_one():
    guide = (TOP / "docs" / "kubernetes.md").read_text()
    known = {path for path, _, _ in described_values()}
    settings = json.loads((CHART / "values.schema.json").read_text())["properties"]["settings"]["properties"]

    groups = {path.partition(".")[0] for path in known}
    named_there = {
        path for path in re.findall(r"`([a-z]+[A-Za-z]*(?:\.[A-Za-z_]+)+)", guide)
        if path.partition(".")[0] in groups and not path.endswith(".json")
    }  # fmt: skip

    assert named_there <= known | {f"settings.{name}" for name in settings}
