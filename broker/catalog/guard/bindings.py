"""What must be true of the ways to bind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from broker.catalog.files import Place
from broker.catalog.format import ComposeFile, CredentialValue, OfferingFile, Strict, Verb
from broker.catalog.format.bindings import DRAWN, ChildFile
from broker.catalog.guard.picks import Said, faults_of_clear_pick, faults_of_pick
from broker.catalog.guard.plans import faults_of_secret
from broker.domain.credential_strings import MADE_OF, NEEDED
from broker.domain.databases import DATABASE_KINDS, DatabaseKind

_ANSWER = frozenset({"answer"})
"""What only an action's own picks may pick from."""
_OWN = frozenset({"child"})
"""What only the body of a sub-resource may pick from."""


def faults_of_binding(read: OfferingFile) -> Iterator[Said]:
    """Tell what is wrong with the ways to bind."""
    yield from _of_secrets(read)
    yield from _of_verbs(("binding",), read.binding, kind=_kind(read))
    for name, parameter in read.bind_parameters.items():
        if parameter.sensitive:
            yield from faults_of_secret(("bind_parameters", name), parameter)
    modes = read.binding_modes
    if modes is None:
        return
    if read.binding:
        yield ("binding_modes",), "is there instead of 'binding'"
    by = read.bind_parameters.get(modes.by)
    # Lists, since what a file allows may be of any kind.
    if (
        by is None
        or by.default not in list(modes.modes)
        or not _the_same(by.allowed or [], list(modes.modes))
    ):
        yield ("binding_modes", "by"), "is a bind parameter that allows the modes, one of them as default"
    for mode, said in modes.modes.items():
        path: Place = ("binding_modes", "modes", mode)
        yield from _of_verbs((*path, "binding"), said.binding, kind=_kind(read))
        for name in said.needs:
            if name not in read.bind_parameters:
                yield (*path, "needs"), f"there is no bind parameter '{name}'"


def faults_of_credentials(read: OfferingFile) -> Iterator[Said]:
    """Tell what is wrong with what plans hand out under other names, or besides."""
    composed = [verb.compose.credentials for _, verb in verbs_of(read) if verb.compose is not None]
    keys = {key for credentials in composed for key in credentials}
    bound = {
        key
        for said in composed
        for value in said.values()
        for key in MADE_OF.get(value.connection_string or "", frozenset()) & said.keys()
    }
    for number, plan in enumerate(read.plans):
        changes = plan.credentials
        if changes is None:
            continue
        path: Place = ("plans", number, "credentials")
        taken = (keys - changes.rename.keys()) | changes.add.keys()
        for key, name in changes.rename.items():
            at = (*path, "rename", key)
            if key not in keys:
                yield at, "no way to bind hands out such a key"
            if key in bound:
                yield at, "the connection string is made of it; 'add' what it picks under the other name"
            if name in taken or list(changes.rename.values()).count(name) > 1:
                yield at, f"'{name}' is another credential's key"
        for key, value in changes.add.items():
            at = (*path, "add", key)
            if key in keys - changes.rename.keys():
                yield at, "there is such a key; rename that one, or choose another name"
            yield from _of_credential(at, value, kind=_kind(read))


def verbs_of(read: OfferingFile) -> Iterator[tuple[Place, Verb]]:
    """Return every verb of every way to bind, with its place."""
    for number, verb in enumerate(read.binding):
        yield ("binding", number), verb
    for mode, said in (read.binding_modes.modes if read.binding_modes else {}).items():
        for number, verb in enumerate(said.binding):
            yield ("binding_modes", "modes", mode, "binding", number), verb


def _the_same(some: Sequence[Any], others: Sequence[Any]) -> bool:
    return all(item in others for item in some) and all(item in some for item in others)


def _of_verbs(path: Place, verbs: Sequence[Verb], *, kind: DatabaseKind | None) -> Iterator[Said]:
    if verbs and all(verb.compose is None for verb in verbs):
        yield (*path, len(verbs) - 1), "must be 'compose': a binding without it hands nothing out"
    words: list[str] = []
    for number, verb in enumerate(verbs):
        at = (*path, number)
        if verb.database_user is not None and kind is None:
            yield (*at, "database_user"), "needs a database block"
        elif verb.database_user is not None and verb.database_user.roles and kind and not kind.roles:
            yield (*at, "database_user", "roles"), "are unknown to this kind of database"
        elif verb.database_user is not None and verb.database_user.entra and not (kind and kind.entra):
            yield (*at, "database_user", "entra"), "is unknown to this kind of database"
        if verb.compose is not None and number != len(verbs) - 1:
            yield at, "'compose' is the last verb, once: what comes after it would reach nobody"
        if verb.compose is not None:
            yield from _of_compose((*at, "compose"), verb.compose, kind=kind)
            continue
        for name in sorted(verb.model_fields_set):
            said = getattr(verb, name)
            yield from _of_picks((*at, name), said)
            word = getattr(said, "word", None)
            if word in words:
                yield (*at, name, "word"), f"'{word}' is used before"
            words += [word] if word else []
            if verb.child is not None:
                yield from _of_child((*at, "child"), verb.child)


def _of_picks(path: Place, said: Strict) -> Iterator[Said]:
    """Look at every field of a verb that is an expression."""
    constant = {"word", "name", "type", "api_version", "naming", "prefix", "otherwise", "body"}
    constant |= {"counted", "remedy", "which"}
    for name in sorted(type(said).model_fields.keys() - constant):
        value = getattr(said, name)
        if isinstance(value, Strict):
            yield from _of_picks((*path, name), value)
        elif isinstance(value, str):
            yield from faults_of_pick((*path, name), value, more=_ANSWER if name == "pick" else frozenset())
        for word, expression in value.items() if isinstance(value, dict) else ():
            yield from faults_of_pick((*path, name, word), expression, more=_ANSWER)


def _of_child(path: Place, child: ChildFile) -> Iterator[Said]:
    if child.naming == "key" and child.prefix is None:
        yield (
            (*path, "prefix"),
            "is missing: a name is it and the binding's key, unless 'naming' says otherwise",
        )
    if child.naming == "uuid" and child.prefix is not None:
        yield (*path, "prefix"), "a UUID has none"
    yield from _of_body((*path, "body"), child.body)


def _of_secrets(read: OfferingFile) -> Iterator[Said]:
    """Keep secrets out of what is written down of a sub-resource; `{secret: password}` is not."""
    sensitive = frozenset(name for name, one in read.bind_parameters.items() if one.sensitive)
    secrets = {"parameters": sensitive, "user": DRAWN}
    for path, verb in verbs_of(read):
        if verb.child is not None:
            for place, pick in _picks_in((*path, "child", "body"), verb.child.body):
                yield from faults_of_clear_pick(place, pick, secrets)


def _picks_in(path: Place, body: Any) -> Iterator[tuple[Place, str]]:
    if isinstance(body, Mapping) and set(body) == {"pick"}:
        yield path, str(body["pick"])
    elif isinstance(body, Mapping | list):
        for key, value in body.items() if isinstance(body, Mapping) else enumerate(body):
            yield from _picks_in((*path, key), value)


def _of_body(path: Place, body: Any) -> Iterator[Said]:
    """Look at what stands for a value in what is sent."""
    if isinstance(body, Mapping) and set(body) == {"pick"}:
        yield from faults_of_pick(path, str(body["pick"]), more=_OWN)
    elif isinstance(body, Mapping) and set(body) == {"secret"}:
        if body["secret"] not in list(DRAWN):
            yield path, f"the secrets that are drawn for a binding are: {', '.join(sorted(DRAWN))}"
    elif isinstance(body, Mapping):
        for key, value in body.items():
            yield from _of_body((*path, key), value)
    elif isinstance(body, list):
        for number, value in enumerate(body):
            yield from _of_body((*path, number), value)


def _of_compose(path: Place, compose: ComposeFile, *, kind: DatabaseKind | None) -> Iterator[Said]:
    for key, value in compose.credentials.items():
        at = (*path, "credentials", key)
        yield from _of_credential(at, value, kind=kind)
        for missing in sorted(
            NEEDED.get(value.connection_string or "", frozenset()) - compose.credentials.keys()
        ):
            yield at, f"is made of the other credentials and needs '{missing}'"
    for place, endpoint in enumerate(compose.endpoints):
        for key in ("host", "port"):
            yield from faults_of_pick((*path, "endpoints", place, key), getattr(endpoint, key))


def _of_credential(path: Place, value: CredentialValue, *, kind: DatabaseKind | None) -> Iterator[Said]:
    if value.pick is not None:
        yield from faults_of_pick((*path, "pick"), value.pick)
    for name in ("part", "mongodb"):
        if getattr(value, name) is not None:
            yield from _of_picks((*path, name), getattr(value, name))
    if value.connection_string is None or value.connection_string in MADE_OF:
        return
    if kind is None:
        yield path, "needs a database block"
    elif value.connection_string not in kind.connection_strings:
        yield path, f"no driver of this kind of database reads it; there are {_listed(kind)}"


def _kind(read: OfferingFile) -> DatabaseKind | None:
    return None if read.database is None else DATABASE_KINDS[read.database.kind]


def _listed(kind: DatabaseKind) -> str:
    return ", ".join(sorted(kind.connection_strings))
