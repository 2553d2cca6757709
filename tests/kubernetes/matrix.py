"""Values that people would install the chart with, by a name for each."""

from typing import Any

NEEDED = {
    "broker_id": "a-broker",
    "azure_subscription_id": "3f0c1c3e-2b8e-4f2a-9d53-0f3a5e3b7b11",
    "azure_location": "westeurope",
}
POSTGRESQL = {"existingSecret": "broker-database"}
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
PLAN_FILES = {"storage/an-offering.yaml": "id: an-offering\n", "storage/account.json": '{"resources": []}\n'}

MATRIX: dict[str, dict[str, Any]] = {
    "the least that is needed": {"settings": NEEDED, "database": POSTGRESQL},
    "a trial on SQLite": {"settings": NEEDED, "database": {"kind": "sqlite"}},
    "production": {
        "settings": {
            **NEEDED,
            "azure_client_id": "0b0a6c5e-1111-4c5e-8d0e-0d7f5b1c2a3b",
            "azure_tenant_id": "0b0a6c5e-2222-4c5e-8d0e-0d7f5b1c2a3b",
            "azure_resource_group": "platform-services",
            "stop_within": "40s",
        },
        "image": {"repository": "registry.example/broker", "digest": "sha256:" + "0" * 64},
        "imagePullSecrets": [{"name": "registry"}],
        "replicas": 3,
        "database": {
            "existingSecret": "broker-database",
            "urlKey": "pooler",
            "listenUrlKey": "direct",
            "port": 6432,
            "caConfigMap": "database-authority",
        },
        "sealingKeys": {"existingSecret": "broker-keys"},
        "platforms": {"existingSecret": "broker-platforms"},
        "operators": {"existingSecret": "broker-operators", "ownPort": True},
        "tls": {"existingSecret": "broker-tls"},
        "tenants": {"existingConfigMap": "broker-tenants", "key": "rules.yaml"},
        "serviceCatalog": {
            "register": "cluster",
            "existingSecret": "broker-registration",
            "caBundle": CERTIFICATE,
            "relistDuration": "15m0s",
        },
        "metrics": {
            "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
            "alerts": {"enabled": True, "labels": {"release": "prometheus"}},
            "dashboard": {"enabled": True},
        },
        "autoscaling": {"enabled": True, "dueLagSeconds": 5},
        "priorityClassName": "system-cluster-critical",
        "topologySpread": {"whenUnsatisfiable": "DoNotSchedule"},
    },
    "API and runner apart": {
        "settings": NEEDED,
        "database": POSTGRESQL,
        "autoscaling": {"enabled": True},
        "runner": {
            "separate": True,
            "autoscaling": {"enabled": True, "maxReplicas": 20, "dueLagSeconds": 2.5},
        },
        "operators": {"existingSecret": "broker-operators"},
        "metrics": {"serviceMonitor": {"enabled": True}},
        "serviceCatalog": {"register": "cluster"},
    },
    "certificates by cert-manager": {
        "settings": NEEDED,
        "database": POSTGRESQL,
        "tls": {
            "certManager": {
                "enabled": True,
                "issuerRef": {"name": "ours", "kind": "ClusterIssuer"},
                "duration": "2160h",
                "renewBefore": "360h",
            }
        },
        "serviceCatalog": {"register": "cluster"},
    },
    "a broker of one namespace": {
        "settings": NEEDED,
        "database": POSTGRESQL,
        "fullnameOverride": "team-broker",
        "serviceCatalog": {"register": "namespaced", "name": "team"},
    },
    "a client secret in China, behind a proxy": {
        "settings": {
            **NEEDED,
            "azure_authentication": "client-secret",
            "azure_cloud": "china",
            "azure_client_id": "0b0a6c5e-1111-4c5e-8d0e-0d7f5b1c2a3b",
            "azure_tenant_id": "0b0a6c5e-2222-4c5e-8d0e-0d7f5b1c2a3b",
            "azure_api_versions": {"Microsoft.Storage/storageAccounts": "2025-06-01"},
        },
        "database": POSTGRESQL,
        "azure": {
            "clientSecret": {"existingSecret": "azure-client"},
            "proxy": {"existingSecret": "azure-proxy"},
            "caConfigMap": "azure-authority",
        },
        "dataPlaneCaConfigMap": "servers-authority",
        "networkPolicy": {
            "platforms": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "catalog"}}}],
            "egressPorts": [5432],
            "extraEgress": [{"to": [{"ipBlock": {"cidr": "10.0.0.10/32"}}], "ports": [{"port": 3128}]}],
        },
    },
    "everything that can be added": {
        "settings": {**NEEDED, "in_flight": 1_000_000 // 10, "body_limit": 2_097_152, "inventory": False,
                     "azure_call_share": 0.5, "egress_addresses": ["192.0.2.1", "192.0.2.2"]},
        "database": POSTGRESQL,
        "azure": {"workloadIdentity": {"webhook": False}},
        "catalog": {
            "files": PLAN_FILES,
            "configMaps": [
                {"name": "team-plans", "items": [{"key": "a.yaml", "path": "team/a.yaml"}]},
                {"name": "more-plans"},
            ],
        },
        "tenants": {"rules": [{"name": "everybody", "location": "westeurope"}]},
        "service": {"type": "LoadBalancer", "port": 443, "annotations": {"a.example/b": "c"}},
        "listenAddress": "::",
        "serviceAccount": {"name": "an-account", "annotations": {"a.example/b": "c"}},
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"key": "dedicated", "operator": "Exists", "effect": "NoSchedule"}],
        "affinity": {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [{"matchExpressions": [{"key": "disk", "operator": "Exists"}]}]
                }
            }
        },
        "podLabels": {"team": "platform"},
        "podAnnotations": {"a.example/b": "c"},
        "commonLabels": {"cost-centre": "7"},
        "extraEnv": [{"name": "TZ", "value": "UTC"}],
        "extraEnvFrom": [{"configMapRef": {"name": "more", "optional": True}}],
        "extraVolumes": [{"name": "more", "emptyDir": {}}],
        "extraVolumeMounts": [{"name": "more", "mountPath": "/more"}],
        "nameOverride": "osb",
    },
    "all that can be off": {
        "settings": {**NEEDED, "azure_authentication": "managed-identity"},
        "database": POSTGRESQL,
        "migration": {"enabled": False},
        "uninstallGuard": {"enabled": False},
        "podDisruptionBudget": {"enabled": False},
        "networkPolicy": {"enabled": False},
        "topologySpread": {"enabled": False},
        "serviceAccount": {"create": False},
        "drainSeconds": 0,
        "jobs": {"podLabels": None, "podAnnotations": None},
    },
}  # fmt: skip
