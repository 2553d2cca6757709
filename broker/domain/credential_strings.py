"""Connection strings that are made of other credentials of the same binding, and of which."""

from collections.abc import Mapping

ENDPOINT_KEYS = {
    "Blob": "primaryBlobServiceEndPoint",
    "File": "primaryFileServiceEndPoint",
    "Queue": "primaryQueueServiceEndPoint",
    "Table": "primaryTableServiceEndPoint",
}
"""The key of each service's endpoint, spelt as older brokers did."""
NEEDED: Mapping[str, frozenset[str]] = {
    "azure_storage": frozenset({"storageAccountName"}),
    "redis_uri": frozenset({"host", "port", "password"}),
}
"""The keys without which none can be put together."""
MADE_OF: Mapping[str, frozenset[str]] = {
    "azure_storage": NEEDED["azure_storage"] | {"accessKey", "sasToken", *ENDPOINT_KEYS.values()},
    "redis_uri": NEEDED["redis_uri"],
}
"""The keys that each is put together from, so that they keep their names beside it."""
