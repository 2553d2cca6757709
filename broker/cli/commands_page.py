"""`docs/cli.md`, made from the commands themselves so that it cannot fall behind."""

from typing import Any

import typer

_HEAD = """\
# Commands

This page is made by `osb config commands` from the commands themselves; a test holds it current. What they are for:
[operating.md](operating.md).
"""


def commands_page(app: typer.Typer) -> str:
    """Return the page as Markdown."""
    root: Any = typer.main.get_command(app)
    lines = [_HEAD]
    for name, command in root.commands.items():
        lines += _section(f"osb {name}", command, level=2)
    return "\n".join(lines).rstrip() + "\n"


def _section(path: str, command: Any, *, level: int) -> list[str]:
    lines = [f"{'#' * level} {path}", "", *_paragraphs(command.help or "")]
    if hasattr(command, "commands"):
        for name, below in command.commands.items():
            lines += _section(f"{path} {name}", below, level=level + 1)
        return lines
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    options = [each for each in command.params if each.param_type_name == "option" and not each.hidden]
    words = [
        path,
        *(_placeholder(each) for each in arguments),
        *(["[OPTIONS]"] if options else []),
    ]
    lines += ["```", " ".join(words), "```", ""]
    if options:
        lines += ["| option | meaning |", "|---|---|"]
        lines += [f"| {_named(each)} | {_meaning(each)} |" for each in options]
        lines.append("")
    return lines


def _placeholder(argument: Any) -> str:
    name = (argument.metavar or argument.name.upper()).strip("[]")
    return name if argument.required else f"[{name}]"


def _named(option: Any) -> str:
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    return f"{names} *needed*" if option.required else names


def _meaning(option: Any) -> str:
    default = option.default
    shown = "" if default in {None, False, True, ""} or callable(default) else f" Default: `{default}`."
    return _text(option.help or "").replace("|", "\\|") + shown


def _paragraphs(help_: str) -> list[str]:
    return [line for paragraph in help_.split("\n\n") for line in (_text(paragraph), "")]


def _text(help_: str) -> str:
    return " ".join(help_.split())
