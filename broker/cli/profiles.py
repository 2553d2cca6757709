"""
Which broker the `osb` command talks to, and as whom: profiles in a file, overridden by the environment.

The file is `osb/profiles.toml` in XDG_CONFIG_HOME (or `~/.config`). A profile has `url`, maybe `ca_file`, and one of
`token_file`, `token_env` and `token_command`; the token itself is never in it, nor on a command line.
"""

import ipaddress
import shlex
import subprocess
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

_KEYS = {"url", "ca_file", "token_file", "token_env", "token_command"}
_TOKEN_SOURCES = ("token_file", "token_env", "token_command")
_COMMAND_MAY_TAKE = 60


class ProfileError(Exception):
    """No broker is known to talk to, or no token to show; the sentence says what to write where."""


@dataclass(frozen=True)
class Profile:
    """A broker's admin API, and what to show there."""

    name: str
    url: str
    token: str = field(repr=False)
    ca_file: Path | None = None


def chosen(name: str | None) -> Profile:
    """
    Return the profile of that name, or else of OSB_PROFILE, or else the file's default or only one.

    OSB_URL, OSB_CA_FILE, and OSB_TOKEN or OSB_TOKEN_FILE win over what it says; with OSB_URL and a token no file is
    needed.

    Raises:
        ProfileError: There is none, or it is not complete.
    """
    environment = _environment()
    name = name or environment.get("OSB_PROFILE") or None
    said, name = _said(environment, name)
    url = environment.get("OSB_URL") or said.get("url")
    if not url:
        raise ProfileError(
            f"No broker is named: write a profile with a url into {path(environment)}, "
            "or set OSB_URL and OSB_TOKEN_FILE."
        )
    ca_file = environment.get("OSB_CA_FILE") or said.get("ca_file")
    return Profile(
        name=name,
        url=_checked(url),
        token=_token(environment, said, name),
        ca_file=_file(ca_file, "ca_file") if ca_file else None,
    )


def names() -> list[str]:
    """
    Return the names of all profiles.

    Raises:
        ProfileError: The file cannot be read.
    """
    return sorted(_read(path(_environment()))["profiles"])


def path(environment: Mapping[str, str]) -> Path:
    """Return where the profiles are."""
    home = environment.get("XDG_CONFIG_HOME")
    return (Path(home) if home else Path.home() / ".config") / "osb" / "profiles.toml"


def _environment() -> Mapping[str, str]:
    from broker.settings import process_environment

    return process_environment()


def _said(environment: Mapping[str, str], name: str | None) -> tuple[Mapping[str, Any], str]:
    file = path(environment)
    read = _read(file)
    profiles = read["profiles"]
    if name is None and environment.get("OSB_URL"):
        return {}, "OSB_URL"
    if name is None:
        name = read["default"] or (next(iter(profiles)) if len(profiles) == 1 else None)
    if name is None and profiles:
        raise ProfileError(
            f"There are several profiles in {file}: choose one with --profile, OSB_PROFILE, or `default` in the file."
        )
    if name is not None and name not in profiles:
        known = f"There are: {', '.join(sorted(profiles))}." if profiles else "There is none."
        raise ProfileError(f"There is no profile {name!r} in {file}. {known}")
    return (profiles[name], name) if name is not None else ({}, "")


def _read(file: Path) -> dict[str, Any]:
    try:
        read = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {"default": None, "profiles": {}}
    except OSError as fault:
        raise ProfileError(f"{file} cannot be read: {fault.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as fault:
        raise ProfileError(f"{file} is not TOML: {fault}.") from None
    profiles = read.get("profiles", {})
    if not isinstance(profiles, dict) or not all(isinstance(one, dict) for one in profiles.values()):
        raise ProfileError(f"{file}: profiles are written as [profiles.NAME].")
    for name, said in profiles.items():
        if unknown := sorted(set(said) - _KEYS):
            raise ProfileError(
                f"{file}: the profile {name!r} has an unknown key {unknown[0]!r}; known are {', '.join(sorted(_KEYS))}."
            )
    return {"default": read.get("default"), "profiles": profiles}


def _checked(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.query:
        raise ProfileError(f"{url!r} is no address of a broker; it reads https://HOST:PORT.")
    if parts.scheme == "http" and not _is_loopback(parts.hostname):
        raise ProfileError(f"{url} would send the token in clear: only https:// leaves this machine.")
    return url.rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _token(environment: Mapping[str, str], said: Mapping[str, Any], name: str) -> str:
    if token := environment.get("OSB_TOKEN"):
        return token.strip()
    if file := environment.get("OSB_TOKEN_FILE"):
        return _content(_file(file, "OSB_TOKEN_FILE"))
    given = [source for source in _TOKEN_SOURCES if source in said]
    if len(given) != 1:
        raise ProfileError(
            f"The profile {name!r} needs one of {', '.join(_TOKEN_SOURCES)}; or set OSB_TOKEN_FILE or OSB_TOKEN."
        )
    value = said[given[0]]
    if given[0] == "token_file":
        return _content(_file(value, "token_file"))
    if given[0] == "token_env":
        if token := environment.get(str(value)):
            return token.strip()
        raise ProfileError(f"The profile {name!r} takes its token from {value}, which is not set.")
    return _told(value, name)


def _file(value: object, key: str) -> Path:
    file = Path(str(value)).expanduser()
    if not file.is_file():
        raise ProfileError(f"{key}: there is no file {file}.")
    return file


def _content(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise ProfileError(f"The token in {file} cannot be read.") from None


def _told(command: object, name: str) -> str:
    words = shlex.split(command) if isinstance(command, str) else command
    if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words):
        raise ProfileError(
            f"The profile {name!r}: token_command is a command, as text or as a list of its words."
        )
    try:
        done = subprocess.run(  # noqa: S603 - the operator's own command, from his own file, through no shell
            words, stdout=subprocess.PIPE, text=True, timeout=_COMMAND_MAY_TAKE, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as fault:
        raise ProfileError(f"The profile {name!r}: {words[0]} gave no token: {fault}.") from None
    if done.returncode != 0 or not done.stdout.strip():
        raise ProfileError(f"The profile {name!r}: {words[0]} gave no token (exit status {done.returncode}).")
    return done.stdout.strip()
