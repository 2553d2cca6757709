"""
From what was asked for to the parameters of the template. Pure.

A firewall rule from 0.0.0.0 to 0.0.0.0 lets every machine in Azure in, any customer's: only
`allowAzureServices` makes one (https://learn.microsoft.com/azure/postgresql/network/concepts-networking-public).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address
from typing import Any

from broker.domain.json_values import JsonObject
from broker.provisioners.options import OwnPrincipal
from broker.provisioners.recipe import Recipe, pick
from broker.provisioners.verdicts import Contradiction

RESERVED = "osb-"
"""How the names of the broker's own tags and rules begin; Azure keeps no case in either."""
MOST_TAGS = 50
"""Of one resource (https://learn.microsoft.com/azure/azure-resource-manager/management/tag-resources)."""
BROKER_RULE = "osb-broker"
AZURE_RULE = "osb-azure-services"


@dataclass(frozen=True)
class Known:
    """What the broker itself adds to what was asked for; `secrets` by the recipe's words, never shown."""

    names: Mapping[str, str]
    location: str
    tags: Mapping[str, str]
    egress_addresses: Sequence[str] = ()
    principal: OwnPrincipal | None = None
    secrets: JsonObject = field(default_factory=dict, repr=False)
    parent: JsonObject = field(default_factory=dict)
    grown: Mapping[str, int] = field(default_factory=dict)
    """Values that Azure has let grow beyond what was asked for; they never go down again."""
    before: JsonObject | None = None
    """What is in force while an update is judged; None for a creation."""
    adopted: bool = False
    """Whether somebody else made it; its only Entra administrator, if it can have one alone, stays who that is."""
    kept: JsonObject = field(default_factory=dict)
    """What an adopted resource has of what users do not give: it holds instead of the plan's defaults."""


def effective(recipe: Recipe, asked: JsonObject, kept: JsonObject | None = None) -> dict[str, Any]:
    """Return the user's parameters with what is *kept*, or else the plan's defaults, for what was not given."""
    found = {name: said["default"] for name, said in recipe.user.items() if "default" in said}
    found.update(kept or {})
    found.update({name: value for name, value in asked.items() if name in recipe.user})
    return found


def template_parameters(recipe: Recipe, asked: JsonObject, known: Known) -> dict[str, Any]:
    """
    Put together every parameter of the template.

    Raises:
        Contradiction: The parameters contradict each other in a way that no schema can tell.
    """
    given = effective(recipe, asked, known.kept)
    if known.adopted and not any(said.get("each") == "entraAdministrators" for said in recipe.resources):
        # It would take the place of somebody else's, and nobody would put that one back.
        known = replace(known, principal=None)
    picked_from = {"parameters": {**recipe.fixed, **given}, "names": known.names, "parent": known.parent}
    for rule in recipe.require:
        if not pick(rule["that"], {**picked_from, "before": known.before}):
            raise Contradiction(rule["otherwise"])
    found: dict[str, Any] = dict(recipe.fixed)
    for name, said in recipe.user.items():
        if not said["in_template"]:
            continue
        through = said.get("through")
        if through is not None:
            found[name] = _derived(through, given, known)
        elif name in given:
            found[name] = known.grown.get(name, given[name])
    for name, source in recipe.broker.items():
        if isinstance(source, str):
            found[name] = _derived(source, given, known)
        elif "name" in source:
            found[name] = known.names[source["name"]]
        else:
            found[name] = pick(source["pick"], {**picked_from, "parameters": given})
    return found


def refuse_together(recipe: Recipe, asked: JsonObject, before: JsonObject) -> None:
    """
    Refuse an update that changes something which is changed alone, and something else.

    Raises:
        Contradiction: Naming both.
    """
    given, had = effective(recipe, asked), effective(recipe, before)
    changed = sorted(name for name in recipe.user if given.get(name) != had.get(name))
    alone = [name for name in changed if recipe.user[name].get("alone")]
    if alone and len(changed) > 1:
        others = ", ".join(f"'{name}'" for name in changed if name != alone[0])
        raise Contradiction(
            f"Azure changes '{alone[0]}' alone, and this update changes {others}, too. Send two updates, one "
            "after the other."
        )


def firewall_rules(given: JsonObject, egress_addresses: Sequence[str]) -> list[dict[str, str]]:
    """
    List the rules of a server: the user's, and the broker's own so that it is never locked out.

    Raises:
        Contradiction: A range ends before it begins or is none, or two rules have one name.
    """
    rules = [dict(rule) for rule in given.get("firewallRules", ())]
    names = [rule["name"].lower() for rule in rules]
    for rule, name in zip(rules, names, strict=True):
        if _address(rule, "startIPAddress") > _address(rule, "endIPAddress"):
            raise Contradiction(
                f"firewallRules: the rule '{rule['name']}' ends before it begins: {rule['startIPAddress']} to "
                f"{rule['endIPAddress']}. Give the lower address first."
            )
        if name.startswith(RESERVED):
            raise Contradiction(
                f"firewallRules: names such as '{rule['name']}' are the broker's own; choose another."
            )
        if rule["endIPAddress"] == "0.0.0.0":  # noqa: S104 - an address range, nothing listens
            raise Contradiction(
                f"firewallRules: the rule '{rule['name']}' is 0.0.0.0 only, which stands for all of Azure. "
                "Set allowAzureServices if that is wanted."
            )
        if names.count(name) > 1:
            raise Contradiction(
                f"firewallRules: there are two rules with the name '{rule['name']}'; rename one."
            )
    if given.get("allowAzureServices"):
        rules.append(_rule(AZURE_RULE, "0.0.0.0"))  # noqa: S104 - likewise
    rules += [_rule(f"{BROKER_RULE}-{n}", str(address)) for n, address in enumerate(egress_addresses)]
    return rules


def _address(rule: Mapping[str, str], end: str) -> IPv4Address:
    try:
        return IPv4Address(rule[end])
    except ValueError:
        raise Contradiction(
            f"firewallRules: {end} of the rule '{rule['name']}' is no IPv4 address."
        ) from None


def _rule(name: str, address: str) -> dict[str, str]:
    return {"name": name, "startIPAddress": address, "endIPAddress": address}


def _derived(word: str, given: JsonObject, known: Known) -> Any:
    match word:
        case "location":
            return known.location
        case "tags":
            own = given.get("tags", {}).items()
            taken = {name.lower() for name in known.tags}
            free = {k: v for k, v in own if not k.lower().startswith(RESERVED) and k.lower() not in taken}
            tags = free | dict(known.tags)
            if len(tags) > MOST_TAGS:
                raise Contradiction(
                    f"tags: with those of the broker and its operator they would be {len(tags)}, and Azure takes "
                    f"{MOST_TAGS}. Order fewer."
                )
            return tags
        case "firewall_rules":
            return firewall_rules(given, known.egress_addresses)
        case "ip_rules":
            addresses = dict.fromkeys([*given.get("allowedAddresses", ()), *map(str, known.egress_addresses)])
            return [{"value": address, "action": "Allow"} for address in addresses]
        case "extension_list":
            return ",".join(sorted(given.get("extensions", ())))
        case "entra_administrators":
            own = known.principal
            if own is None:
                return []
            client = {"clientId": own.client_id or ""}
            return [{"name": own.object_id, "principalName": own.name, **client}]
        case "administrator_login" | "administrator_password":
            return known.secrets[word]
    raise ValueError(f"This version knows no value called {word!r}.")
