"""Connection strings as Azure puts them together are read whole by both products' clients, whatever is in the keys."""

from azure.eventhub import parse_connection_string as read_by_event_hubs
from azure.servicebus import parse_connection_string as read_by_service_bus
from hypothesis import given
from hypothesis import strategies as st

from broker.catalog.reader import read_catalog
from broker.provisioners.bindings import composed
from broker.shipped import shipped

OFFERINGS = {one.name: one for one in read_catalog(shipped("catalog")).offerings}
KEYS = st.text("ABCxyz019+/", min_size=1, max_size=43).map(lambda text: f"{text}=") | st.just("+/+/=")
NAMES = st.text("abcdefghijklmnopqrstuvwxyz234567", min_size=26, max_size=26)


def handed_out(name, key, host, entity):
    """The credentials of a binding by key, of what Azure's listKeys answered."""
    recipe = OFFERINGS[name].plans[0].recipe
    start = f"Endpoint=sb://{host}/;SharedAccessKeyName=app-rule;SharedAccessKey={key}"
    found = {"key": key, "connectionString": start + (f";EntityPath={entity}" if entity else "")}
    source = {
        "parameters": {"auth": "key"},
        "outputs": {"host": host, "skuName": "Standard"},
        "parent": {"outputs": {"skuName": "Standard"}},
        "names": {"queue": entity, "topic": entity, "hub": entity, "namespace": host.partition(".")[0]},
        "made": {"rule": {"name": "app-rule"}, "keys": found},
    }
    return composed(recipe["binding_modes"]["modes"]["key"]["binding"], source)[0]


@given(KEYS, NAMES, NAMES)
def test_service_bus_reads_the_key_as_it_is(key, namespace, entity):
    host = f"sb-{namespace}.servicebus.windows.net"
    for name, path in (("azure-servicebus-namespace", None), ("azure-servicebus-queue", f"q-{entity}")):
        credentials = handed_out(name, key, host, path)
        read = read_by_service_bus(credentials["connectionString"])

        assert (read.shared_access_key, read.entity_path) == (key, path) == (credentials["password"], path)
        assert read.fully_qualified_namespace == credentials["host"] == host


@given(KEYS, NAMES, NAMES)
def test_event_hubs_reads_the_key_as_it_is(key, namespace, entity):
    host = f"eh-{namespace}.servicebus.windows.net"
    for name, path in (("azure-eventhubs-namespace", None), ("azure-eventhubs-hub", f"hub-{entity}")):
        credentials = handed_out(name, key, host, path)
        read = read_by_event_hubs(credentials["connectionString"])

        assert (read.shared_access_key, read.eventhub_name) == (key, path) == (credentials["password"], path)
        assert read.shared_access_key_name == credentials["username"]
