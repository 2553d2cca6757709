"""A template of a PostgreSQL server with a database, and deployments of it."""

import copy
import secrets
from typing import Any

SERVERS = "Microsoft.DBforPostgreSQL/flexibleServers"
NOW = "2026-10-01"

_TEMPLATE: dict[str, Any] = {
    "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
    "contentVersion": "1.0.0.0",
    "parameters": {
        "name": {"type": "string"},
        "password": {"type": "secureString", "minLength": 8},
        "storageSizeGB": {"type": "int", "defaultValue": 32, "minValue": 32},
        "tags": {"type": "object", "defaultValue": {}},
    },
    "variables": {"server": f"[resourceId('{SERVERS}', parameters('name'))]"},
    "resources": [
        {
            "type": SERVERS,
            "apiVersion": NOW,
            "name": "[parameters('name')]",
            "location": "[resourceGroup().location]",
            "sku": {"name": "Standard_B1ms", "tier": "Burstable"},
            "tags": "[parameters('tags')]",
            "properties": {
                "version": "17",
                "administratorLogin": "osbadmin",
                "administratorLoginPassword": "[parameters('password')]",
                "storage": {"storageSizeGB": "[parameters('storageSizeGB')]"},
            },
        },
        {
            "type": f"{SERVERS}/databases",
            "apiVersion": NOW,
            "name": "[format('{0}/app', parameters('name'))]",
            "dependsOn": ["[variables('server')]"],
            "properties": {},
        },
    ],
    "outputs": {
        "host": {
            "type": "string",
            "value": "[reference(variables('server'), '2026-10-01').fullyQualifiedDomainName]",
        },
    },
}


def a_server_template() -> dict[str, Any]:
    return copy.deepcopy(_TEMPLATE)


def a_password() -> str:
    return f"Aa1-{secrets.token_urlsafe(12)}"


def deployment_body(name: str, template: dict[str, Any] | None = None, **parameters: Any) -> dict[str, Any]:
    """The body of a deployment's PUT."""
    values = {"name": name, "password": a_password(), **parameters}
    return {
        "properties": {
            "mode": "Incremental",
            "template": template or a_server_template(),
            "parameters": {key: {"value": value} for key, value in values.items()},
        }
    }
