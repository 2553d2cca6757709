"""`docs/azure-permissions.md`, made from the shipped catalog so that it cannot fall behind."""

from broker.azure.permissions import ALWAYS, GROUP_PER_INSTANCE, IN_SUBSCRIPTION, purging_actions
from broker.catalog.rights import Rights, rights_of
from broker.domain.catalog import Catalog, ServicePlan

_ROLE_NAMES = {
    "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1": "Storage Blob Data Reader",
    "ba92f5b4-2d11-453d-a403-e96b0029c9fe": "Storage Blob Data Contributor",
    "516239f1-63e1-4d78-a4de-a74fb236a071": "App Configuration Data Reader",
    "5ae67dd6-50cb-40e7-96ff-dc2bfa4b606b": "App Configuration Data Owner",
    "090c5cfd-751d-490a-894a-3ce6f1109419": "Azure Service Bus Data Owner",
    "69a216fc-b8fb-44d8-bc22-1f3c2cd27a39": "Azure Service Bus Data Sender",
    "4f6d3b9b-027b-4f4c-9142-0e5a2a2247e0": "Azure Service Bus Data Receiver",
    "f526a384-b230-433a-b45c-95f59c4a2dec": "Azure Event Hubs Data Owner",
    "2b629674-e913-4c01-ae53-ef4638d8f975": "Azure Event Hubs Data Sender",
    "a638d3c7-ab3a-418d-83e6-5f17a39d4fde": "Azure Event Hubs Data Receiver",
    "00482a5a-887f-4fb3-b363-3b7fe8e74483": "Key Vault Administrator",
    "b86a8fe4-44ce-4948-aee5-eccb2c155cd7": "Key Vault Secrets Officer",
    "4633458b-17de-408a-b874-0445c86b69e6": "Key Vault Secrets User",
    "14b46e9e-c2b7-41b4-b07b-48a6ebf60603": "Key Vault Crypto Officer",
    "12338af0-0e69-4776-bea7-57ae8d297424": "Key Vault Crypto User",
    "a4417e6f-fecd-4de8-b567-7b0420556985": "Key Vault Certificates Officer",
    "db79e9a7-68ee-4b58-9aeb-b90e7c24fcba": "Key Vault Certificate User",
}
"""Azure, "Azure built-in roles"."""

_HEAD = """\
# What the broker's identity may do in Azure

This page is made by `osb azure permissions` from the shipped catalog; a test holds it current. With a catalog of your
own, `osb azure role FOLDER --overlay FOLDER` prints the role for what it offers.

The broker needs management rights only: it holds no data action, reads no blob, message or secret. Give its identity
(a managed or workload identity, see [configuration.md](configuration.md)) a custom role that holds what the catalog's
plans do and nothing else, on the resource groups that it works in. `Contributor` would do as well, and is far more;
it does not hold the right to assign roles.

```sh
GROUP=/subscriptions/<subscription>/resourceGroups/<group>
osb azure role --scope "$GROUP" > role.json
az role definition create --role-definition @role.json
az role assignment create --assignee-object-id <object id> --assignee-principal-type ServicePrincipal \\
  --role "Azure Service Broker" --scope "$GROUP" \\
  --condition "$(osb azure role --condition)" --condition-version 2.0
```

**The condition** matters: some ways to bind assign a role to an app's identity, and who may assign roles without a
condition may also make itself the owner of everything. Under this one the broker can give and take the data roles
that its catalog names, and no others. Make both anew when the catalog changes (`az role definition update`); `osb
azure check` says when they lag behind.

**In the subscription** the broker looks up regions, providers, what bears its tags, and whether names are free. It
works without that: names are then found out by trying, and a resource that a restored store has forgotten is not
found.

```sh
osb azure role --subscription --scope /subscriptions/<subscription> > subscription-role.json
```

A plan that makes a resource group for each instance (`placement: {group: own}`; no shipped one does) needs its role
on the subscription.

**`osb azure check`** asks Azure, as the broker's identity, for all of this and changes nothing: it ends with 1 and
names each permission that is missing for a plan of the catalog, and each role that the condition leaves out.
Conditions are seen only where the token says who the identity is, and the role is one of Azure's own or its condition
is about role assignments; else the check says that it is unsure.

Logins inside of servers need no right in Azure: the broker signs in as the administrator whose password it drew, from
its own addresses (`BROKER_EGRESS_ADDRESSES`).
"""


def permissions_page(catalog: Catalog) -> str:
    """Return the page as Markdown."""
    parts = [
        _HEAD,
        "## For every plan\n\n" + _listed([*ALWAYS]),
        "## In the subscription\n\n"
        + _listed(
            [
                *IN_SUBSCRIPTION,
                "and `checkNameAvailability` of the providers",
                *(
                    f"and, for orders that want to be purged, `{action}`"
                    for action in purging_actions(rights_of(_plans(catalog)).purges)
                ),
            ]
        ),
        "## For a group of each instance's own\n\n" + _listed([*GROUP_PER_INSTANCE]),
        "## By offering\n\n"
        "`read`, `write` and `delete` on each type, where not said otherwise; and what is posted.\n\n"
        "| offering | types | posts | roles that bindings assign |\n|---|---|---|---|\n"
        + "\n".join(
            f"| [`{offering.name}`](services/{offering.name}.md) | {_cells(rights_of(offering.plans))} |"
            for offering in catalog.offerings
            if offering.offered
        ),
    ]
    return "\n".join(f"{part.rstrip()}\n" for part in parts)


def _plans(catalog: Catalog) -> list[ServicePlan]:
    return [plan for offering in catalog.offerings for plan in offering.plans]


def _listed(actions: list[str]) -> str:
    return "\n".join(f"- `{action}`" if " " not in action else f"- {action}" for action in actions)


def _cells(rights: Rights) -> str:
    types = [f"`{name}`" for name in sorted(rights.types)]
    types += [f"`{name}` (no `delete`)" for name in sorted(rights.parts)]
    roles = [f"{_ROLE_NAMES.get(role, '')} `{role}`".strip() for role in sorted(rights.roles)]
    return " | ".join(
        "<br>".join(cell) for cell in (types, [f"`{post}`" for post in sorted(rights.posts)], roles)
    )
