"""`docs/configuration.md`, made from the settings' model so that it cannot fall behind."""

from datetime import timedelta
from typing import TYPE_CHECKING

from broker.settings import PREFIX, Settings, secret_names

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

_HEAD = """\
# Configuration

This page is made by `osb config docs` from the settings' model; a test holds it current.

Each setting is an environment variable. A **secret** may come from a file instead: `{prefix}<NAME>_FILE` names it,
blanks and line breaks around it are no part of it. All settings may stand in a TOML file that `{prefix}SETTINGS_FILE`
names, under their names in lower case without the prefix. The environment wins over the file.

Durations are written `500ms`, `30s`, `10m`, `2h` or `90d`. Lists are written with commas or as JSON.

`osb config check` names each wrong setting in a line of its own, shows no secret, and asks nobody. The same check runs
at each start. A variable with the prefix that is no setting is refused too, so that a misspelt one is noticed; the
variables that Kubernetes makes for Services are let pass.

| variable | default | meaning |
|---|---|---|
"""

_TAIL = """
## Sealing keys

`BROKER_SEALING_KEYS` holds one key or several, `key-id:base64`. Make one with:

```sh
echo "k1:$(openssl rand -base64 32)"
```

The first key seals what is written, all of them open what is read. To change keys, put the new one in front, restart,
and take the old one away once nothing is sealed with it. A key that is missing, short, typed, counted or repeated is
refused at every start: there is no switch for it. Without the keys the stored secrets are lost, so keep them apart from
the database's backups, and keep them.

## Platforms

`BROKER_PLATFORMS` (rather `BROKER_PLATFORMS_FILE`) is one JSON object. Each platform has a name, which is part of what
it owns and must not change, and credentials: a username with one password, or two while one is being replaced, or
bearer tokens. Each has at least 16 characters.

```json
{
  "cluster-a": {"username": "cluster-a", "passwords": ["<the present one>", "<the next one>"]},
  "cluster-b": {"bearer_tokens": ["<a token>"]}
}
```

## Operators

`BROKER_OPERATORS` (rather `BROKER_OPERATORS_FILE`) is one JSON object, too. Each operator has a name, which the audit
keeps, a role and one token, or two while one is being replaced. `read` may look, `operate` may act. A token has at
least 32 characters (`openssl rand -hex 32`) and is nobody else's.

```json
{
  "alice": {"role": "operate", "tokens": ["<a token>"]},
  "dashboard": {"role": "read", "tokens": ["<the present one>", "<the next one>"]}
}
```

Without operators there is no admin API. With them it is at `/admin/v1` beside the Open Service Broker API, or on a port
of its own if `BROKER_ADMIN_PORT` is set. No platform's credentials are good for it, and no operator's for the other.
"""


def settings_page() -> str:
    """Return the page as Markdown."""
    secret = set(secret_names())
    rows = [_row(name, about, secret=name in secret) for name, about in Settings.model_fields.items()]
    return _HEAD.format(prefix=PREFIX) + "\n".join(rows) + "\n" + _TAIL


def _row(name: str, about: "FieldInfo", *, secret: bool) -> str:
    marks = " **Secret.**" if secret else ""
    return f"| `{PREFIX}{name.upper()}` | {_default(about)} | {about.description}{marks} |"


def _default(about: "FieldInfo") -> str:
    if about.is_required():
        return "*needed*"
    value = about.default
    if value is None or value == ():
        return ""
    if isinstance(value, timedelta):
        seconds = int(value.total_seconds())
        return f"`{seconds // 86400}d`" if seconds and seconds % 86400 == 0 else f"`{seconds}s`"
    return f"`{value}`"
