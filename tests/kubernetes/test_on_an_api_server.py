"""The chart on a real API server: what it takes, whom it lets do what, and a release's whole life."""

import asyncio
import base64
import json
import os
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
import yaml

from broker.simulator.certificates import CertificateAuthority
from broker.store import instances
from broker.store.database import Database
from broker.store.sealing import KeyRing
from tests.kubernetes.charts import TOP, pod_templates, rendered
from tests.kubernetes.control_plane import api_server
from tests.kubernetes.matrix import MATRIX, NEEDED, POSTGRESQL
from tests.kubernetes.playing import Cluster, installation
from tests.kubernetes.pods import IS_ROOT
from tests.simulated import wait_until
from tests.store.nouns import an_instance

pytestmark = [pytest.mark.needs("helm", "etcd", "kube-apiserver"), pytest.mark.slow]

RESTRICTED = {
    "pod-security.kubernetes.io/enforce": "restricted",
    "pod-security.kubernetes.io/enforce-version": "latest",
}
FULL = "broker-azure-service-broker"
ACCOUNT = yaml.safe_load((TOP / "catalog" / "storage" / "azure-storage-account.yaml").read_text())
VALUES = {
    "settings": {**NEEDED, "azure_authentication": "managed-identity"},
    "database": POSTGRESQL,
    "drainSeconds": 1,
}


@pytest.fixture(scope="module")
def server():
    with api_server() as started:
        started.namespace("brokers", **RESTRICTED)
        yield started


@pytest.fixture
def cluster(server, request, tmp_path, fresh_database):
    """A namespace of the test's own, with the Secret of an empty database."""
    name = f"ns-{abs(hash(request.node.name)) % 10**9}"
    server.namespace(name, **RESTRICTED)
    url = fresh_database()
    secret = {"metadata": {"name": "broker-database"}, "stringData": {"url": url}}
    server.asked("POST", f"/api/v1/namespaces/{name}/secrets", json=secret)
    made = Cluster(server, name, tmp_path)
    made.url = url
    return made


@pytest.mark.parametrize("entry", MATRIX)
def test_each_object_is_taken_with_strict_field_checking(server, entry):
    for one in rendered(MATRIX[entry]):
        answer = server.apply(one, "brokers", dry_run=True)

        assert answer.is_success, f"{one['kind']} {one['metadata']['name']}: {answer.text}"
        assert "warning" not in answer.headers


def test_strict_field_checking_refuses_a_field_that_is_misspelt(server):
    objects = rendered(MATRIX["a broker of one namespace"])
    (registration,) = [one for one in objects if one["kind"] == "ServiceBroker"]

    answer = server.apply(
        {**registration, "spec": {**registration["spec"], "caBundel": "YQ=="}}, "brokers", dry_run=True
    )

    assert answer.status_code in {400, 500}
    assert "caBundel" in answer.text


@pytest.mark.parametrize("entry", MATRIX)
def test_each_pod_is_let_into_a_namespace_that_enforces_the_restricted_standard(server, entry):
    objects = rendered(MATRIX[entry])
    for one in objects:
        if one["kind"] == "ServiceAccount":
            assert server.apply(one, "brokers").is_success

    for number, (name, template) in enumerate(pod_templates(objects).items()):
        pod = {"apiVersion": "v1", "kind": "Pod", "spec": template["spec"]}
        pod["metadata"] = {"name": f"pod-{number}", "labels": template["metadata"]["labels"]}
        answer = server.apply(pod, "brokers", dry_run=True)
        assert answer.is_success, f"{name}: {answer.text}"


def test_a_pod_that_is_not_hardened_would_not_be_let_in(server):
    template = pod_templates(rendered(MATRIX["the least that is needed"]))[f"Deployment {FULL}"]
    spec = {**template["spec"], "securityContext": {}, "serviceAccountName": "default"}

    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "soft"}, "spec": spec}

    answer = server.apply(pod, "brokers", dry_run=True)
    assert answer.status_code == 403
    assert "runAsNonRoot" in answer.text


def test_new_secrets_of_a_tool_that_does_not_ask_the_cluster_are_refused(server):
    space = server.namespace("gitops")
    values = MATRIX["the least that is needed"]
    first, second = (rendered(values, version=version) for version in ("1.30.0", "1.31.0"))

    answers = [
        server.apply(one, space) for made in (first, second) for one in made if one["kind"] == "Secret"
    ]

    assert [answer.status_code for answer in answers] == [201, 201, 422, 422]
    assert "field is immutable when `immutable` is set" in answers[2].text


def test_the_pods_service_account_may_do_nothing(server):
    (account,) = [
        one for one in rendered(MATRIX["the least that is needed"]) if one["kind"] == "ServiceAccount"
    ]
    server.namespace("accounts")
    assert server.apply(account, "accounts").is_success
    who = f"system:serviceaccount:accounts:{account['metadata']['name']}"

    for verb in ("get", "list", "create", "delete"):
        for resource in ("secrets", "configmaps", "pods", "services"):
            asked = {"namespace": "accounts", "verb": verb, "resource": resource}
            review = {"spec": {"user": who, "resourceAttributes": asked}}
            path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
            assert server.asked("POST", path, json=review).json()["status"]["allowed"] is False, asked
    assert server.answered("GET", "/api/v1/namespaces/accounts/secrets", who=who).status_code == 403


def allowed_to_install(server, cluster, who):
    """Give *who* what an installation takes: rights in one namespace, none in the cluster."""
    kinds = {
        "": ["secrets", "configmaps", "services", "serviceaccounts", "pods"],
        "apps": ["deployments"],
        "batch": ["jobs"],
        "policy": ["poddisruptionbudgets"],
        "networking.k8s.io": ["networkpolicies"],
    }
    verbs = ["get", "list", "watch", "create", "update", "patch", "delete"]
    rules = [{"apiGroups": [group], "resources": names, "verbs": verbs} for group, names in kinds.items()]
    api = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{cluster.namespace}"
    server.asked("POST", f"{api}/roles", json={"metadata": {"name": "installer"}, "rules": rules})
    server.asked("POST", f"{api}/rolebindings", json={
        "metadata": {"name": "installer"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "installer"},
        "subjects": [{"kind": "User", "name": who, "apiGroup": "rbac.authorization.k8s.io"}],
    })  # fmt: skip


def test_rights_in_one_namespace_suffice_to_install_and_to_upgrade(server, cluster):
    allowed_to_install(server, cluster, "team")

    first = cluster.helm("install", *installation(), values=json.dumps(VALUES), who="team")
    second = cluster.helm("upgrade", *installation(), values=json.dumps(VALUES), who="team")

    assert (first.returncode, second.returncode) == (0, 0), first.stdout + second.stdout


def secrets_of(cluster):
    listed = cluster.listed("v1", "secrets")
    return {one["metadata"]["name"]: one["data"] for one in listed if one["type"] == "Opaque"}


def test_a_releases_whole_life(cluster):
    values = {**VALUES, "settings": {**VALUES["settings"], "log_level": "debug"}}

    # Installed: the tables are made before anything else is there.
    installed = cluster.helm("install", *installation(), values=json.dumps(VALUES))
    assert installed.returncode == 0, installed.stdout
    assert cluster.seen == [(f"{FULL}-migrate", {}, 0)]
    assert "The database is at revision" in cluster.logs[f"{FULL}-migrate"]
    assert "BACK UP the Secret" in installed.stdout
    made = secrets_of(cluster)

    # Upgraded: migrated while the old Deployment is as it was, and no secret is a new one.
    upgraded = cluster.helm("upgrade", *installation(), values=json.dumps(values))
    assert upgraded.returncode == 0, upgraded.stdout
    assert cluster.seen[1:] == [(f"{FULL}-migrate", {FULL: 1}, 0)]
    assert cluster.deployments() == {FULL: 2}
    assert secrets_of(cluster) == made

    # Rolled back: no migration, the old template, the same secrets.
    back = cluster.helm("rollback", "broker", "1")
    assert back.returncode == 0, back.stdout
    assert len(cluster.seen) == 2
    assert cluster.deployments() == {FULL: 3}
    assert secrets_of(cluster) == made

    # Not removed while something lives.
    asyncio.run(remembered(cluster.url))
    refused = cluster.helm("uninstall", "broker")
    assert refused.returncode != 0
    assert cluster.seen[2:] == [(f"{FULL}-uninstall-guard", {FULL: 3}, 1)]
    assert "Service instances that remain: 1 (kubernetes: 1)" in cluster.logs[f"{FULL}-uninstall-guard"]
    assert cluster.deployments() == {FULL: 3}

    # Removed on purpose: the keys stay, and the next installation takes them.
    removed = cluster.helm("uninstall", "broker", "--no-hooks")
    assert removed.returncode == 0, removed.stdout
    kept = secrets_of(cluster)
    assert kept.keys() == {"broker-database", f"{FULL}-sealing-keys"}
    again = cluster.helm("install", *installation(), values=json.dumps(VALUES))
    assert again.returncode == 0, again.stdout
    assert secrets_of(cluster)[f"{FULL}-sealing-keys"] == made[f"{FULL}-sealing-keys"]
    assert secrets_of(cluster)[f"{FULL}-platforms"] != made[f"{FULL}-platforms"]


async def remembered(url):
    database = await Database.open(url, sealing=KeyRing([("test", os.urandom(32))]), broker_id="test")
    async with database.transaction() as tx:
        await instances.add(tx, an_instance())
    await database.close()


def test_a_migration_that_fails_stops_the_upgrade_before_anything_is_replaced(cluster):
    assert cluster.helm("install", *installation(), values=json.dumps(VALUES)).returncode == 0
    path = f"/api/v1/namespaces/{cluster.namespace}/secrets"
    away = {"metadata": {"name": "away"}, "stringData": {"url": "postgresql://nobody@127.0.0.1:1/none"}}
    cluster.server.asked("POST", path, json=away)

    values = {**VALUES, "database": {"existingSecret": "away"}}
    upgraded = cluster.helm("upgrade", *installation(), values=json.dumps(values))

    assert upgraded.returncode != 0
    assert cluster.seen[-1] == (f"{FULL}-migrate", {FULL: 1}, 1)
    assert cluster.deployments() == {FULL: 1}


def on_postgresql(**more):
    settings = {**VALUES["settings"], "stop_within": "4s"}
    return {**VALUES, "settings": settings, **more}


# Values, and the Deployments of which a pod each is started.
DECLARED = {
    "two that do all": (on_postgresql(), [FULL, FULL]),
    "API and runner apart": (on_postgresql(runner={"separate": True}), [FULL, f"{FULL}-runner"]),
    "SQLite": (on_postgresql(database={"kind": "sqlite"}), [FULL]),
    "TLS": (
        on_postgresql(tls={"existingSecret": "broker-tls"}, serviceCatalog={"register": "namespaced"}),
        [FULL],
    ),
    "an overlay and tenant rules": (
        on_postgresql(
            catalog={"files": {"storage/team-storage.yaml": "", "storage/account.json": ""}},
            tenants={"rules": [{"name": "everybody", "plans": {"deny": ["azure-storage-account"]}}]},
        ),
        [FULL],
    ),
}


@pytest.mark.parametrize("declared", DECLARED)
def test_the_pods_run_as_they_are_declared(cluster, declared):
    if declared == "TLS" and not IS_ROOT:
        pytest.skip("a name of a Service leads to a pod only on a root of its own, which takes root to make")
    values, deployments = DECLARED[declared]
    if "catalog" in values:
        values = {**values, "catalog": {"files": an_overlay()}}
    name = f"{FULL}.{cluster.namespace}.svc"
    authority = certificates(cluster, name)
    installed = cluster.helm("install", *installation(), values=json.dumps(values))
    assert installed.returncode == 0, installed.stdout
    pods = [cluster.pod(deployment, number) for number, deployment in enumerate(deployments)]
    cluster.hosts[name] = pods[0].address

    try:
        for pod in pods:
            pod.run()
        for pod in pods:
            pod.await_ready()
        hardened(pods)
        tested = cluster.helm("test", "broker")
        stopped = [pod.stop() for pod in pods]
        nobody = cluster.helm("test", "broker") if declared == "SQLite" else None
    finally:
        for pod in pods:
            pod.kill()

    assert tested.returncode == 0, tested.stdout + cluster.logs[f"{FULL}-test"]
    assert stopped == [0] * len(pods), pods[0].log("broker")
    if declared == "an overlay and tenant rules":
        assert "team-storage" in cluster.logs[f"{FULL}-test"]
        assert "azure-storage-account," not in cluster.logs[f"{FULL}-test"]
    if declared == "TLS":
        (registered,) = cluster.listed("servicecatalog.k8s.io/v1beta1", "servicebrokers")
        assert registered["spec"]["url"] == f"https://{name}:8080"
        assert base64.b64decode(registered["spec"]["caBundle"]) == authority
    if nobody is not None:
        assert nobody.returncode != 0
        assert "did not answer" in cluster.logs[f"{FULL}-test"]


def an_overlay():
    """An offering of a team's own: a shipped one under another name, with other ids."""
    shipped = TOP / "catalog" / "storage"
    offering = yaml.safe_load((shipped / "azure-storage-account.yaml").read_text())
    offering |= {"id": str(uuid4()), "name": "team-storage"}
    for plan in offering["plans"]:
        plan["id"] = str(uuid4())
    return {
        "storage/team-storage.yaml": yaml.safe_dump(offering),
        "storage/account.json": (shipped / "account.json").read_text(),
    }


def certificates(cluster, name):
    """Put the Secret there that whoever manages certificates would; return the authority's certificate."""
    authority = CertificateAuthority("of the tests")
    issued = authority.issue(name)
    data = {"tls.crt": issued.certificate_pem, "tls.key": issued.key_pem, "ca.crt": authority.certificate_pem}
    secret = {
        "metadata": {"name": "broker-tls"},
        "type": "kubernetes.io/tls",
        "data": {key: base64.b64encode(value).decode() for key, value in data.items()},
    }
    cluster.server.asked("POST", f"/api/v1/namespaces/{cluster.namespace}/secrets", json=secret)
    return authority.certificate_pem


def in_the_simulated_azure(simulator, group, cluster):
    """Values, and what they name, with which the broker reaches the simulated Azure as an application."""
    access, space = simulator.access, f"/api/v1/namespaces/{cluster.namespace}"
    secret = {"metadata": {"name": "azure-client"}, "stringData": {"client-secret": access.client_secret}}
    cluster.server.asked("POST", f"{space}/secrets", json=secret)
    trusted = {"metadata": {"name": "azure-authority"}, "data": {"ca.crt": Path(access.ca_file).read_text()}}
    cluster.server.asked("POST", f"{space}/configmaps", json=trusted)
    settings = {
        "azure_authentication": "client-secret",
        "azure_cloud": "custom",
        "azure_endpoint": access.endpoint,
        "azure_authority": access.endpoint,
        "azure_scope": "https://management.azure.com/.default",
        "azure_subscription_id": access.subscription_id,
        "azure_tenant_id": access.tenant_id,
        "azure_client_id": access.client_id,
        "azure_resource_group": group,
        "azure_poll_interval": "100ms",
        "stop_within": "4s",
    }
    return on_postgresql(
        settings={**NEEDED, **settings},
        azure={"clientSecret": {"existingSecret": "azure-client"}, "caConfigMap": "azure-authority"},
    )


def test_an_order_outlives_an_upgrade_and_the_release_goes_when_nothing_is_left(cluster, simulator):
    values = in_the_simulated_azure(simulator, simulator.a_group(), cluster)
    assert cluster.helm("install", *installation(), values=json.dumps(values)).returncode == 0
    old = cluster.pod(FULL)
    new = None
    order = {"service_id": ACCOUNT["id"], "plan_id": ACCOUNT["plans"][0]["id"]}
    instance = "/v2/service_instances/an-account"

    try:
        old.run()
        old.await_ready()
        simulator.clock(speed=0)
        before = len(simulator.ledger())
        body = {**order, "organization_guid": "cluster", "space_guid": "namespace"}
        accepted = asked(cluster, old, "PUT", f"{instance}?accepts_incomplete=true", json=body)
        assert accepted.status_code == 202, accepted.text
        wait_until(lambda: [call for call in simulator.ledger()[before:] if call["method"] == "PUT"])
        changed = {**values, "settings": {**values["settings"], "log_level": "debug"}}
        assert cluster.helm("upgrade", *installation(), values=json.dumps(changed)).returncode == 0
        new = cluster.pod(FULL, 1)
        new.run()
        new.await_ready()
        stopped = old.stop()
        during = asked(cluster, new, "GET", f"{instance}/last_operation").json()["state"]
        simulator.clock(speed=simulator.speed)
        done = wait_until(lambda: ended(cluster, new, instance), at_most=60)
        kept = cluster.helm("uninstall", "broker")
        which = {**order, "accepts_incomplete": "true"}
        deleted = asked(cluster, new, "DELETE", instance, params=which)
        assert deleted.status_code == 202, deleted.text
        wait_until(
            lambda: asked(cluster, new, "GET", f"{instance}/last_operation").status_code == 410, at_most=60
        )
        removed = cluster.helm("uninstall", "broker")
    finally:
        for pod in (old, new):
            if pod is not None:
                pod.kill()

    assert (stopped, during, done) == (0, "in progress", "succeeded")
    assert (kept.returncode, removed.returncode) == (1, 0), removed.stdout
    assert [status for name, _, status in cluster.seen if name.endswith("-uninstall-guard")] == [1, 0]
    assert cluster.deployments() == {}


def asked(cluster, pod, method, path, **more):
    cluster.known = getattr(cluster, "known", None) or secrets_of(cluster)[f"{FULL}-platforms"]
    credentials = tuple(base64.b64decode(cluster.known[key]).decode() for key in ("username", "password"))
    url = f"http://{pod.address}:8080{path}"
    return httpx.request(
        method, url, auth=credentials, headers={"X-Broker-API-Version": "2.14"}, timeout=60, **more
    )


def ended(cluster, pod, instance):
    answer = asked(cluster, pod, "GET", f"{instance}/last_operation").json()
    assert answer["state"] != "failed", answer
    return answer["state"] if answer["state"] != "in progress" else None


def hardened(pods):
    if not IS_ROOT:
        return
    for pod in pods:
        status = pod.status()
        assert status["Uid"].split() == ["10001"] * 4
        assert status["Groups"] == "10001"
        assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0
        assert status["NoNewPrivs"] == "1"
        mounts = Path(f"/proc/{pod.processes[-1].pid}/mounts").read_text().splitlines()
        (root,) = [line.split() for line in mounts if line.split()[1] == "/"]
        assert "ro" in root[3].split(",")
