"""The contexts of known and unknown platforms (the specification's profile)."""

import pytest

from tests.osb.platform import an_id, ask, order

ANNOTATIONS = {"prefix.example/name": "value"}
CLOUD_FOUNDRY = {
    "platform": "cloudfoundry",
    "organization_guid": "o-guid",
    "organization_name": "an org",
    "organization_annotations": ANNOTATIONS,
    "space_guid": "s-guid",
    "space_name": "a space",
    "space_annotations": ANNOTATIONS,
    "instance_name": "db",
    "instance_annotations": ANNOTATIONS,
}
KUBERNETES = {
    "platform": "kubernetes",
    "namespace": "default",
    "namespace_annotations": ANNOTATIONS,
    "clusterid": "c-guid",
    "instance_name": "db",
    "instance_annotations": ANNOTATIONS,
}
UNKNOWN = {"platform": "moonbase", "crater": ["tycho", 5], "deep": {"er": None}}


@pytest.mark.parametrize(
    "context",
    [
        pytest.param(CLOUD_FOUNDRY, marks=pytest.mark.requirement("PRF-01", "PRF-06"), id="cloudfoundry"),
        pytest.param(KUBERNETES, marks=pytest.mark.requirement("PRF-02", "PRF-06"), id="kubernetes"),
        pytest.param(UNKNOWN, marks=pytest.mark.requirement("PRF-03", "PRF-06"), id="unknown"),
        pytest.param({}, marks=pytest.mark.requirement("PRF-03", "PRF-06"), id="empty"),
    ],
)
def test_an_order_and_a_bind_with_any_context_are_served(platform, context):
    instance_id = platform.ready(order(context=context))

    assert platform.bind(instance_id, an_id(), ask(context=context)).status_code == 201


@pytest.mark.requirement("PRF-04")
@pytest.mark.parametrize(
    "resource",
    [
        {"app_guid": "a", "space_guid": "s", "app_annotations": ANNOTATIONS},
        {"credential_client_id": "uaa-client"},
        {"app_guid": "a", "route": "r.example.com"},
    ],
)
def test_app_bindings_and_service_keys_are_served(platform, resource):
    instance_id = platform.ready(order(context=CLOUD_FOUNDRY))

    assert (
        platform.bind(instance_id, an_id(), ask(bind_resource=resource, context=CLOUD_FOUNDRY)).status_code
        == 201
    )


@pytest.mark.requirement("PRF-05")
@pytest.mark.parametrize("context", [CLOUD_FOUNDRY, KUBERNETES])
def test_identity_and_context_of_one_platform_are_served_together(platform, context):
    import base64
    import json

    who = base64.b64encode(json.dumps({"user_id": "u", "username": "u"}).encode()).decode()
    headers = {"X-Broker-API-Originating-Identity": f"{context['platform']} {who}"}

    assert platform.provision(an_id(), order(context=context), headers=headers).status_code == 202
