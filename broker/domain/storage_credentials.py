"""The credentials of which a storage account's connection string is made."""

ENDPOINT_KEYS = {
    "Blob": "primaryBlobServiceEndPoint",
    "File": "primaryFileServiceEndPoint",
    "Queue": "primaryQueueServiceEndPoint",
    "Table": "primaryTableServiceEndPoint",
}
"""The key of each service's endpoint, spelt as older brokers did."""
MADE_OF = frozenset({"storageAccountName", "accessKey", "sasToken", *ENDPOINT_KEYS.values()})
"""The keys that it is put together from, so that they keep their names beside it."""
