"""A service that no provider has: an offering by data alone, with a model of its type or without."""

import json
import uuid
from pathlib import Path

TYPE = "Microsoft.Teapots/stores"
VERSION = "2026-05-01"
READ = {"use": ["read"]}
MODEL = {
    "type": TYPE,
    "api_version": VERSION,
    "source": {},
    "root": "Store",
    "actions": {"listKeys": {"type": "object", "model": "Keys"}},
    "models": {
        "Store": {
            "properties": {
                "location": {"type": "string", "required": True, "use": ["read", "create"]},
                "tags": {"type": "map", "items": {"type": "string"}},
                "properties": {"type": "object", "model": "StoreProperties"},
            }
        },
        "StoreProperties": {
            "properties": {
                "cups": {"type": "integer"},
                "colour": {"type": "string", "values": ["red", "green"]},
                "secret": {"type": "string", "use": ["create", "update"]},
                "hostName": {"type": "string", **READ},
                "endpoint": {"type": "string", **READ},
                "storeId": {"type": "string", **READ},
                "isOpen": {"type": "boolean", **READ},
                "port": {"type": "integer", **READ},
                "created": {"type": "object", "model": "Created", **READ},
            }
        },
        "Created": {"properties": {"createdTime": {"type": "string", **READ}}},
        "Keys": {"properties": {"value": {"type": "array", "items": {"type": "object", "model": "Key"}}}},
        "Key": {
            "properties": {
                "name": {"type": "string"},
                "value": {"type": "string"},
                "connectionString": {"type": "string"},
                "readOnly": {"type": "boolean"},
            }
        },
    },
}
TEMPLATE = {
    "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
    "contentVersion": "1.0.0.0",
    "parameters": {
        "name": {"type": "string"},
        "location": {"type": "string"},
        "tags": {"type": "object"},
        "cups": {"type": "int", "defaultValue": 1, "metadata": {"description": "How many."}},
    },
    "resources": [
        {
            "type": TYPE,
            "apiVersion": VERSION,
            "name": "[parameters('name')]",
            "location": "[parameters('location')]",
            "tags": "[parameters('tags')]",
            "properties": {"cups": "[parameters('cups')]", "colour": "red"},
        }
    ],
    "outputs": {
        "endpoint": {
            "type": "string",
            "value": f"[reference(resourceId('{TYPE}', parameters('name')), '{VERSION}').endpoint]",
        }
    },
}
OFFERING = """
id: {offering}
name: teapot-store
description: A store of teapots.
bindable: true
plan_updateable: true
template: store.json
names:
  store: {{prefix: pot-, max_length: 40}}
resources:
  - {{type: Microsoft.Teapots/stores, names: [name], tagged: true}}
parameters:
  user:
    location: {{type: string, through: location, immutable: true, pattern: "^[a-z]+$", description: Region.}}
    cups: {{minimum: 1}}
    tags: {{type: object, through: tags, default: {{}}, additional: {{type: string}}}}
  broker:
    name: {{name: store}}
bind_parameters:
  access: {{type: string, default: write, allowed: [read, write], description: What the key allows.}}
binding:
  - action:
      word: keys
      resource: record.main
      type: Microsoft.Teapots/stores
      name: listKeys
      pick:
        key: "{pick}"
  - compose:
      credentials:
        endpoint: {{pick: outputs.endpoint}}
        key: {{pick: made.keys.key}}
plans:
  - id: {plan}
    name: small
    description: A small one.
    free: false
    maximum_polling_duration: 600
"""
BY_ACCESS = (
    "(parameters.access=='read' && answer.value[?readOnly] || answer.value[?readOnly==`false`])[0].value"
)


def catalog(folder: Path, *, with_model: bool = True, pick: str = BY_ACCESS) -> Path:
    """Write the catalog into *folder* and return it."""
    family = folder / "teapots"
    family.mkdir(parents=True)
    (family / "store.json").write_text(json.dumps(TEMPLATE))
    (family / "teapot-store.yaml").write_text(
        OFFERING.format(offering=uuid.uuid4(), plan=uuid.uuid4(), pick=pick)
    )
    if with_model:
        (folder / "models").mkdir()
        (folder / "models" / f"Microsoft.Teapots.stores@{VERSION}.json").write_text(json.dumps(MODEL))
    return folder
