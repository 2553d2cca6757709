"""What Helm makes of the chart, for each entry of the matrix: known to Kubernetes, hardened, and of one piece."""

import re
from functools import cache
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from jsonschema import Draft202012Validator

from broker.settings import Settings, secret_names
from tests.kubernetes.charts import (
    CHART,
    NEWEST,
    OLDEST,
    containers,
    helm,
    is_hook,
    named,
    of_kind,
    pod_templates,
    rendered,
    selects,
)
from tests.kubernetes.matrix import MATRIX

pytestmark = pytest.mark.needs("helm")
CRDS = Path(__file__).parent / "crds"


@pytest.fixture(params=MATRIX)
def entry(request):
    return MATRIX[request.param]


@cache
def custom_schemas():
    """By group, version and kind; closed, as an API server with strict field checking takes them."""
    found = {}
    for file in CRDS.glob("*.yaml"):
        for one in yaml.safe_load_all(file.read_text()):
            spec = one["spec"]
            for version in spec["versions"]:
                schema = closed(version["schema"]["openAPIV3Schema"])
                found[f"{spec['group']}/{version['name']}", spec["names"]["kind"]] = schema
    return found


def closed(schema):
    if isinstance(schema, dict):
        schema = {key: closed(value) for key, value in schema.items()}
        if "properties" in schema and isinstance(schema["properties"], dict):
            schema.setdefault("additionalProperties", False)
    return schema


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_kubernetes_knows_each_field_of_each_object(entry, version):
    for one in rendered(entry, version=version):
        key = one["apiVersion"], one["kind"]
        if key in custom_schemas():
            spec = custom_schemas()[key]["properties"]["spec"]
            Draft202012Validator(spec).validate(one["spec"])
        else:
            assert kubernetes_validate.validate(one, version, strict=True) == version.rpartition(".")[0]


def test_the_schemas_refuse_what_kubernetes_does_not_know():
    deployment = of_kind(rendered(MATRIX["the least that is needed"]), "Deployment")[0]
    container = deployment["spec"]["template"]["spec"]["containers"][0]

    misspelt = {**deployment, "spec": {**deployment["spec"], "template": {
        **deployment["spec"]["template"], "spec": {"containers": [{**container, "readynessProbe": {}}]}}}}  # fmt: skip

    with pytest.raises(kubernetes_validate.ValidationError, match="readynessProbe"):
        kubernetes_validate.validate(misspelt, NEWEST, strict=True)


def test_helm_has_nothing_to_complain_of(entry, tmp_path):
    (tmp_path / "values.yaml").write_text(yaml.safe_dump(entry))

    told = helm("lint", "--strict", CHART, "--kube-version", OLDEST, "--values", tmp_path / "values.yaml")

    assert "0 chart(s) failed" in told


def test_every_pod_is_hardened(entry):
    for name, template in pod_templates(rendered(entry)).items():
        pod = template["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["runAsUser"] == 10001, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert pod["automountServiceAccountToken"] is False, name
        assert not pod.keys() & {"hostNetwork", "hostPID", "hostIPC"}, name
        assert not [volume for volume in pod["volumes"] if "hostPath" in volume], name
        for container in containers(template):
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False, name
            assert security["readOnlyRootFilesystem"] is True, name
            assert security["capabilities"] == {"drop": ["ALL"]}, name
            assert container["resources"]["requests"].keys() >= {"cpu", "memory"}, name
            assert "memory" in container["resources"]["limits"], name


def test_no_secret_stands_in_a_config_map_or_in_the_environment(entry):
    secret = {f"BROKER_{name.upper()}" for name in secret_names()}
    objects = rendered(entry)

    for one in of_kind(objects, "ConfigMap"):
        assert not one["data"].keys() & secret
    for template in pod_templates(objects).values():
        for container in containers(template):
            for variable in container.get("env", []):
                sqlite = variable.get("value", "").startswith("sqlite:")
                assert variable["name"] not in secret or sqlite, variable["name"]


def test_secrets_that_the_chart_makes_are_immutable_and_random(entry):
    first, second = (rendered(entry, version=version) for version in (OLDEST, NEWEST))

    for one in of_kind(first, "Secret"):
        assert one["immutable"] is True
        assert not one["data"].items() & named(second, "Secret", one["metadata"]["name"])["data"].items() - {
            ("username", "a3ViZXJuZXRlcw==")
        }


def test_what_is_mounted_and_asked_for_is_there(entry):
    """Volumes, ConfigMaps, Secrets, claims and service accounts: the chart's own, or named in the values."""
    objects = rendered(entry)
    made = {(one["kind"], one["metadata"]["name"]) for one in objects}
    given = set(re.findall(r"'((?:broker|azure|database|servers|team|registry|more)[a-z-]*)'", str(entry)))

    for name, template in pod_templates(objects).items():
        pod = template["spec"]
        mounted = {
            mount["name"] for container in containers(template) for mount in container.get("volumeMounts", [])
        }
        assert mounted == {volume["name"] for volume in pod["volumes"]}, name
        for kind, wanted in references(pod):
            by_cert_manager = kind == "Secret" and ("Certificate", wanted.removesuffix("-tls")) in made
            assert (kind, wanted) in made or wanted in given or by_cert_manager, (name, kind, wanted)


def references(pod):
    for volume in pod["volumes"]:
        for source in [volume, *volume.get("projected", {}).get("sources", [])]:
            if "secret" in source:
                yield "Secret", source["secret"].get("name") or source["secret"]["secretName"]
            if "configMap" in source:
                yield "ConfigMap", source["configMap"]["name"]
            if "persistentVolumeClaim" in source:
                yield "PersistentVolumeClaim", source["persistentVolumeClaim"]["claimName"]
    for container in pod["containers"]:
        for source in container.get("envFrom", []):
            yield "ConfigMap", source["configMapRef"]["name"]
    if pod.get("serviceAccountName", "default") != "default":
        yield "ServiceAccount", pod["serviceAccountName"]


def test_a_hook_before_the_installation_needs_nothing_that_the_chart_makes(entry):
    objects = rendered(entry)
    made = {(one["kind"], one["metadata"]["name"]) for one in objects if not is_hook(one)}

    for one in objects:
        if "pre-install" in one["metadata"].get("annotations", {}).get("helm.sh/hook", ""):
            assert not set(references(one["spec"]["template"]["spec"])) & made


def test_each_selector_finds_the_pods_that_it_is_meant_for_and_no_others(entry):
    objects = rendered(entry)
    templates = pod_templates(objects)
    jobs = {name for name in templates if not name.startswith("Deployment")}

    def found(selector):
        return {name for name, template in templates.items() if selects(selector, template)}

    for one in of_kind(objects, "Deployment"):
        mine = f"Deployment {one['metadata']['name']}"
        assert found(one["spec"]["selector"]["matchLabels"]) == {mine}
        for spread in one["spec"]["template"]["spec"].get("topologySpreadConstraints", []):
            assert found(spread["labelSelector"]["matchLabels"]) == {mine}
    for one in of_kind(objects, "PodDisruptionBudget"):
        assert found(one["spec"]["selector"]["matchLabels"]) == {f"Deployment {one['metadata']['name']}"}
    for one in of_kind(objects, "HorizontalPodAutoscaler"):
        target = named(objects, "Deployment", one["spec"]["scaleTargetRef"]["name"])
        assert "replicas" not in target["spec"], "a number here would undo the autoscaler's at each upgrade"
    for one in of_kind(objects, "NetworkPolicy"):
        chosen = found(one["spec"]["podSelector"]["matchLabels"])
        assert chosen == (jobs if one["metadata"]["name"].endswith("-jobs") else set(templates) - jobs)
    for one in of_kind(objects, "ServiceMonitor"):
        (watched,) = [
            service for service in of_kind(objects, "Service")
            if one["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
        ]  # fmt: skip
        assert {end["port"] for end in one["spec"]["endpoints"]} <= {
            p["name"] for p in watched["spec"]["ports"]
        }


def test_each_service_leads_to_a_port_that_all_its_pods_have(entry):
    objects = rendered(entry)

    for one in of_kind(objects, "Service"):
        pods = [pod for pod in pod_templates(objects).values() if selects(one["spec"]["selector"], pod)]
        assert pods
        for port in one["spec"]["ports"]:
            for pod in pods:
                assert port["targetPort"] in {p["name"] for p in pod["spec"]["containers"][0]["ports"]}


def test_a_network_policy_lets_in_every_port_that_a_service_leads_to(entry):
    objects = rendered(entry)

    let_in = {
        port["port"]
        for policy in of_kind(objects, "NetworkPolicy")
        for rule in policy["spec"].get("ingress", [])
        for port in rule["ports"]
    }
    assert not let_in or let_in == {
        port["targetPort"] for service in of_kind(objects, "Service") for port in service["spec"]["ports"]
    }


def test_a_pod_is_killed_only_after_its_drain_and_its_orderly_stop(entry):
    settings = named_suffix(rendered(entry), "ConfigMap", "-settings")["data"]
    stop_within = int(settings["BROKER_STOP_WITHIN"].removesuffix("s"))

    for one in of_kind(rendered(entry), "Deployment"):
        pod = one["spec"]["template"]["spec"]
        variables = {variable["name"]: variable.get("value") for variable in pod["containers"][0]["env"]}
        stop_after = int(variables.get("BROKER_STOP_AFTER", "0s").removesuffix("s"))
        assert pod["terminationGracePeriodSeconds"] >= stop_after + stop_within + 10


def named_suffix(objects, kind, suffix):
    (found,) = [one for one in of_kind(objects, kind) if one["metadata"]["name"].endswith(suffix)]
    return found


def test_each_broker_is_probed_on_its_health_port(entry):
    for one in of_kind(rendered(entry), "Deployment"):
        (container,) = one["spec"]["template"]["spec"]["containers"]
        ready, live, start = (
            container[f"{kind}Probe"]["httpGet"] for kind in ("readiness", "liveness", "startup")
        )
        assert ready == {"path": "/readyz", "port": "health"}
        assert live == start == {"path": "/healthz", "port": "health"}


def test_every_variable_of_the_broker_is_one_of_its_settings(entry):
    known = {f"BROKER_{name.upper()}" for name in Settings.model_fields}
    known |= {f"BROKER_{name.upper()}_FILE" for name in secret_names()}
    objects = rendered(entry)

    for one in of_kind(objects, "Deployment", "Job"):
        for container in containers(one["spec"]["template"]):
            named_here = {variable["name"] for variable in container.get("env", [])}
            assert {name for name in named_here if name.startswith("BROKER_")} <= known
    assert named_suffix(objects, "ConfigMap", "-settings")["data"].keys() <= known


def test_what_the_release_must_not_take_along_is_kept(entry):
    objects = rendered(entry)

    kept = [
        one
        for one in objects
        if one["metadata"].get("annotations", {}).get("helm.sh/resource-policy") == "keep"
    ]

    assert [one for one in of_kind(objects, "PersistentVolumeClaim") if one not in kept] == []
    assert [
        one
        for one in of_kind(objects, "Secret")
        if one["metadata"]["name"].endswith("-keys") and one not in kept
    ] == []
