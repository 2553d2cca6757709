"""A page for the users of each service offering: plans, parameters, credentials, examples. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from broker.catalog.credential_keys import handed_out, meanings
from broker.catalog.examples import Chosen, examples
from broker.domain.catalog import Catalog, ServiceOffering, ServicePlan

NOTES = "<!-- notes: what stands from here to the next mark is kept when the page is made again -->"
END_OF_NOTES = "<!-- end of notes -->"

Properties = Mapping[str, Mapping[str, Any]]


def page_of(catalog: Catalog, offering: ServiceOffering, notes: str = "") -> str:
    """Write the page of an offering; *notes* are its authors' own paragraphs."""
    parts = [
        f"# {_plain(offering.metadata.get('displayName') or offering.name)}",
        "<!-- Made from the catalog by `osb catalog docs`; change the catalog, not this page. -->",
        f"`{offering.name}`: {_plain(offering.description)}",
        _plain(str(offering.metadata.get("longDescription") or "")),
        _documentation(offering),
        _noted(notes),
        "## Plans",
        _plans(offering),
        _places(catalog, offering),
        "## Parameters",
        _parameters(offering),
        *_refused("Parameters", [plan.refused for plan in offering.offered]),
        *_bindings(offering),
        *_adoption(offering),
        "## Examples",
        *_examples(catalog, offering),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def index_of(catalog: Catalog, notes: str = "") -> str:
    """Write the page that leads to the others; *notes* are its authors' own paragraphs."""
    rows = [
        [
            f"[`{offering.name}`]({file_name(offering)})",
            _plain(offering.description),
            ", ".join(f"`{plan.name}`" for plan in offering.offered),
        ]
        for offering in offered(catalog)
    ]
    return "\n\n".join(
        [
            "# Services",
            "<!-- Made from the catalog by `osb catalog docs`; change the catalog, not this page. -->",
            _table(["service offering", "what it is", "plans"], rows),
            _noted(notes) + "\n",
        ]
    )


def _noted(notes: str) -> str:
    return f"{NOTES}\n{notes.strip()}\n{END_OF_NOTES}" if notes.strip() else f"{NOTES}\n{END_OF_NOTES}"


def offered(catalog: Catalog) -> list[ServiceOffering]:
    """Return the offerings that have a page: those that can be ordered."""
    return [offering for offering in catalog.offerings if offering.offered]


def file_name(offering: ServiceOffering) -> str:
    return f"{offering.name}.md"


def notes_of(page: str) -> str:
    """Return the authors' own paragraphs of a page that was made before."""
    _, mark, rest = page.partition(NOTES)
    notes, end, _ = rest.partition(END_OF_NOTES)
    return notes.strip() if mark and end else ""


def _documentation(offering: ServiceOffering) -> str:
    said = offering.metadata
    links = [("documentation", said.get("documentationUrl")), ("support", said.get("supportUrl"))]
    shown = [
        f"[{word}]({url})"
        for word, url in links
        if str(url or "").startswith("https://") and " " not in str(url)
    ]
    return f"More: {', '.join(shown)}." if shown else ""


def _plans(offering: ServiceOffering) -> str:
    names = {plan.id: f"`{plan.name}`" for plan in offering.offered}
    rows = []
    for plan in offering.offered:
        bullets = plan.metadata.get("bullets")
        points = f" {'; '.join(map(str, bullets))}." if isinstance(bullets, list) and bullets else ""
        rows.append(
            [
                f"`{plan.name}`",
                _plain(plan.description + points),
                "yes" if plan.free else "no",
                _duration(plan.expected_duration) if plan.expected_duration else "",
                _duration(plan.maximum_polling_duration),
                _next_plans(plan, names),
            ]
        )
    columns = ["plan", "what it is", "free", "usually takes", "given up after", "can become"]
    return _table(*_without_empty(columns, rows))


def _next_plans(plan: ServicePlan, names: Mapping[str, str]) -> str:
    """Return the plans to which an instance can move."""
    if not plan.plan_updateable:
        return ""
    ids = [one for one in names if one != plan.id] if plan.updates_to is None else plan.updates_to
    return ", ".join(names[one] for one in ids if one in names) or "no other"


def _places(catalog: Catalog, offering: ServiceOffering) -> str:
    said = []
    plans = offering.offered
    groups = {plan.recipe.get("placement", {}).get("group") for plan in plans}
    words = {
        "shared": "Resources go into a resource group of the operator's.",
        "own": "Each service instance has a resource group of its own, deleted with it.",
        "parent": "Resources go where the parent's are.",
    }
    said += [words[group] for group in sorted(groups & words.keys())] if len(groups) == 1 else []
    for parents in sorted({plan.parents for plan in plans if plan.parents}):
        known = [parent for parent in map(catalog.offering, parents) if parent is not None]
        links = " or ".join(f"[`{parent.name}`]({file_name(parent)})" for parent in known)
        if known:
            said.append(f"A service instance of {links} is needed first: `parentAlias` is its `alias`.")
    if any(plan.takes_alias for plan in plans):
        said.append("`alias` gives a service instance a name by which others can be ordered in it.")
    return " ".join(said)


def _parameters(offering: ServiceOffering) -> str:
    rows: list[list[str]] = []
    for plans, name, schema in _distinct((plan, plan.create_schema) for plan in offering.offered):
        required = any(name in (plan.create_schema or {}).get("required", ()) for plan in plans)
        where = "" if len(plans) == len(offering.offered) else ", ".join(f"`{plan.name}`" for plan in plans)
        rows += _rows(name, schema, required=required, after=_afterwards(plans, name), where=where)
    if not rows:
        return "None."
    columns = ["parameter", "type", "default", "allowed", "meaning", "afterwards", "plans"]
    return _table(*_without_empty(columns, rows))


def _distinct(
    schemas: Iterable[tuple[ServicePlan, Mapping[str, Any] | None]],
) -> list[tuple[list[ServicePlan], str, Mapping[str, Any]]]:
    """Each parameter once for all plans that say the same of it, in the order in which they are met."""
    found: dict[str, list[tuple[list[ServicePlan], Mapping[str, Any]]]] = {}
    for plan, schema in schemas:
        for name, said in ((schema or {}).get("properties") or {}).items():
            alike = next((plans for plans, other in found.setdefault(name, []) if other == said), None)
            if alike is None:
                found[name].append(([plan], said))
            else:
                alike.append(plan)
    return [(plans, name, said) for name, ways in found.items() for plans, said in ways]


def _afterwards(plans: Sequence[ServicePlan], name: str) -> str:
    said = []
    if all(name not in ((plan.update_schema or {}).get("properties") or {}) for plan in plans):
        said.append("fixed")
    elif any(name in plan.grows_only for plan in plans):
        said.append("can grow, not shrink")
    else:
        said.append("can be changed")
    if any(name in plan.sensitive for plan in plans):
        said.append("never shown again")
    return "; ".join(said)


def _rows(
    name: str, schema: Mapping[str, Any], *, required: bool, after: str, where: str
) -> Iterator[list[str]]:
    default = _value(schema["default"]) if "default" in schema else "**required**" if required else ""
    meaning = schema.get("description") or schema.get("title") or ""
    yield [f"`{name}`", _type(schema), default, _allowed(schema), _plain(str(meaning)), after, where]
    inside, path = schema, name
    if schema.get("type") == "array" and isinstance(schema.get("items"), dict):
        inside, path = schema["items"], f"{name}[]"
    for inner, said in (inside.get("properties") or {}).items():
        needed = inner in inside.get("required", ())
        yield from _rows(f"{path}.{inner}", said, required=needed, after="", where="")


def _type(schema: Mapping[str, Any]) -> str:
    kind = str(schema.get("type", "any"))
    items = schema.get("items")
    if kind == "array":
        return f"list of {_type(items)}s" if isinstance(items, dict) and items.get("type") else "list"
    extra = schema.get("additionalProperties")
    if kind == "object" and isinstance(extra, dict) and extra.get("type"):
        return f"map of {_type(extra)}s"
    return kind


def _allowed(schema: Mapping[str, Any]) -> str:
    items = schema.get("items")
    within = items if isinstance(items, dict) and schema.get("type") == "array" else schema
    said = []
    if "enum" in within:
        said.append(", ".join(_value(value) for value in within["enum"]))
    low, high = within.get("minimum"), within.get("maximum")
    if low is not None or high is not None:
        said.append(_range(low, high))
    for word, lowest, highest in (
        ("characters", "minLength", "maxLength"),
        ("items", "minItems", "maxItems"),
        ("entries", "minProperties", "maxProperties"),
    ):
        of = within if word == "characters" else schema
        if lowest in of or highest in of:
            said.append(f"{_range(of.get(lowest), of.get(highest))} {word}")
    if "pattern" in within and "enum" not in within:
        said.append(_code(within["pattern"]))
    return "; ".join(said)


def _range(low: Any, high: Any) -> str:
    if low is None:
        return f"up to {high}"
    return f"{low} or more" if high is None else f"{low} to {high}"


def _refused(what: str, names: Iterable[Mapping[str, str]]) -> Iterator[str]:
    """What older brokers took, and what is told to those who give it."""
    sentences = {name: sentence for of_plan in names for name, sentence in of_plan.items()}
    if sentences:
        yield f"### {what} of older brokers"
        yield "These are refused, in these words:"
        rows = [[f"`{name}`", _plain(sentence)] for name, sentence in sorted(sentences.items())]
        yield _table(["parameter", "what is told"], rows)


def _bindings(offering: ServiceOffering) -> Iterator[str]:
    plans = [plan for plan in offering.offered if plan.bindable]
    yield "## Binding"
    if not plans:
        yield "Service instances of this offering cannot be bound."
        return
    rows: list[list[str]] = []
    for _, name, schema in _distinct((plan, plan.bind_schema) for plan in plans):
        required = name in (plans[0].bind_schema or {}).get("required", ())
        rows += [row[:5] for row in _rows(name, schema, required=required, after="", where="")]
    if rows:
        yield _table(*_without_empty(["parameter", "type", "default", "allowed", "meaning"], rows))
    else:
        yield "A binding takes no parameters."
    yield from _refused("Bind parameters", [plan.bind_refused for plan in plans])
    recipe = plans[0].recipe
    modes = (recipe.get("binding_modes") or {}).get("modes") or {}
    by = (recipe.get("binding_modes") or {}).get("by", "")
    for mode, said in modes.items():
        if said.get("needs"):
            needed = " and ".join(f"`{name}`" for name in said["needs"])
            yield f"With `{by}` `{mode}` also {needed} {'is' if len(said['needs']) == 1 else 'are'} needed."
    if any(plan.binding_lifetime for plan in plans):
        times = {plan.name: plan.binding_lifetime for plan in plans if plan.binding_lifetime}
        listed = ", ".join(f"{_duration(time)} (`{name}`)" for name, time in times.items())
        yield f"Credentials are refused after {listed}: rotate before."
    if all(plan.binding_rotatable for plan in plans):
        yield "A binding can be replaced by a new one while the old one still works (rotation)."
    yield from _limits(recipe)
    yield "### Credentials"
    yield _credentials(recipe)


_BY_MODE = {
    "bind-only": "`bind-only` (it is bound, and never changed or deleted)",
    "manage": "`manage` (it gets the broker's tags, and updates change it)",
}


def _adoption(offering: ServiceOffering) -> Iterator[str]:
    """What of this type can be taken over, where an operator lets a plan do so."""
    recipe = offering.offered[0].recipe
    said = recipe.get("adopt")
    if not said:
        return
    yield "## Adopting what exists"
    kind = recipe["resources"][0]["type"]
    modes = " or ".join(_BY_MODE[mode] for mode in said.get("allowed", _BY_MODE))
    letting = [f"`{plan.name}`" for plan in offering.offered if plan.recipe["adopt"]["modes"]]
    who = f"Of these plans {', '.join(letting)} can" if letting else "An operator can let plans"
    yield (
        f"{who} take over what exists already, a `{kind}`, by {modes}; "
        "[docs/adopting.md](../adopting.md) says how, and what becomes of it."
    )
    if not said["only"] or "resource" not in said:
        given = " and ".join(f"`{name}`" for name in ["resourceId", *said["parameters"]])
        yield f"An order that does so gives {given}."
    if said.get("require"):
        yield "It is refused, in these words, where the resource does not fit:"
        yield "\n".join(f"- {_plain(one['otherwise'])}" for one in said["require"])


def _limits(recipe: Mapping[str, Any]) -> Iterator[str]:
    """How many of what bindings make Azure allows."""
    modes = (recipe.get("binding_modes") or {}).get("modes") or {"": {"binding": recipe.get("binding", ())}}
    verbs = [verb for said in modes.values() for verb in said["binding"]]
    limits = [verb["child"]["limit"] for verb in verbs if "limit" in verb.get("child", ())]
    counted = {limit["counted"]: _number(limit["at_most"]) for limit in limits}
    if any("role" in verb for verb in verbs):
        counted["role assignments in a subscription"] = "4000"
    if counted:
        listed = " and ".join(f"{number} {what}" for what, number in counted.items())
        yield (
            f"Azure allows {listed}, those of others included; what would be one too many is refused before anything "
            "is made."
        )


def _number(at_most: int | str) -> str:
    """A number; of an expression those that it can be."""
    if isinstance(at_most, int):
        return str(at_most)
    return " or ".join(sorted(re.findall(r"`(\d+)`", at_most), key=int)) + " (by the plan)"


def _credentials(recipe: Mapping[str, Any]) -> str:
    """Each key with the ways to bind that hand it out, and its value where that is always the same."""
    ways = handed_out(recipe)
    keys: dict[str, list[str]] = {}
    values: dict[str, str] = {}
    for mode, credentials in ways.items():
        for key, value in credentials.items():
            keys.setdefault(key, []).append(mode)
            values.setdefault(key, _composed(value))
    rows = [
        [
            f"`{key}`",
            "" if len(of) == len(ways) else ", ".join(f"`{mode}`" for mode in of),
            values[key],
            meanings().get(key, ""),
        ]
        for key, of in keys.items()
    ]
    if not rows:
        return "What they hold is not told here."
    return _table(*_without_empty(["key", "only with", "value", "meaning"], rows))


def _composed(value: Mapping[str, Any]) -> str:
    if "value" in value:
        return f"always {_value(value['value'])}"
    if "connection_string" in value:
        return f"a connection string ({str(value['connection_string']).replace('_', ' ')})"
    return ""


def _examples(catalog: Catalog, offering: ServiceOffering) -> Iterator[str]:
    plan = offering.offered[0]
    chain = [Chosen(offering, plan)]
    while chain[0].plan.parent and (above := catalog.offering(chain[0].plan.parent)) and above.offered:
        chain.insert(0, Chosen(above, above.offered[0]))
        if len(chain) > 5:
            return
    for title, language, mark, text in examples(chain):
        yield f"### {title}"
        fence = "`" * max(3, max((len(run) for run in re.findall("`+", text)), default=0) + 1)
        yield f"{mark}{fence}{language}\n{text.rstrip()}\n{fence}"


def _duration(time: timedelta) -> str:
    if time < timedelta(minutes=2):
        return f"{round(time.total_seconds())} s"
    minutes = int(time.total_seconds() // 60)
    return f"{minutes // 60} h" if minutes % 60 == 0 and minutes > 60 else f"{minutes} min"


def _value(value: Any) -> str:
    return _code(value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False))


def _code(text: str) -> str:
    """A span of code in which nothing is read as Markdown, safe in a table's cell."""
    shown = " ".join(text.split()).replace("|", "\\|")
    fence = "`" * (max((len(run) for run in re.findall("`+", shown)), default=0) + 1)
    space = " " if shown.startswith("`") or shown.endswith("`") else ""
    return f"{fence}{space}{shown}{space}{fence}"


def _plain(text: str) -> str:
    """Words of the catalog as a paragraph or a cell: no HTML, no table's border, on one line."""
    line = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\|`*_\[\]#])", r"\\\1", line)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |".replace("  ", " ") for row in rows)])


def _without_empty(columns: list[str], rows: list[list[str]]) -> tuple[list[str], list[list[str]]]:
    kept = [place for place in range(len(columns)) if place == 0 or any(row[place] for row in rows)]
    return [columns[place] for place in kept], [[row[place] for place in kept] for row in rows]
