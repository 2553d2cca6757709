from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="The broker's settings.", no_args_is_help=True)


@app.command()
def check() -> None:
    """Read all settings and name what is wrong; touches neither database nor Azure."""
    from broker.settings import read_settings

    settings = read_settings()
    database = settings.database_url.get_secret_value().partition("+")[0]
    platforms = (
        ", ".join(platform.name for platform in settings.platforms) or "none: nobody can ask for anything"
    )
    operators = ", ".join(f"{one.name} ({one.role})" for one in settings.operators) or "none: no admin API"
    print(f"The settings are right. Database: {database}. Platforms: {platforms}. Operators: {operators}.")


@app.command()
def docs(
    *,
    write: Annotated[Path | None, typer.Option(help="Write to this file instead of standard output.")] = None,
) -> None:
    """Print the page that describes each setting."""
    from broker.cli.settings_page import settings_page

    page = settings_page()
    if write is None:
        print(page, end="")
    else:
        write.write_text(page, encoding="utf-8")


@app.command()
def commands(
    *,
    write: Annotated[Path | None, typer.Option(help="Write to this file instead of standard output.")] = None,
) -> None:
    """Print the page that describes each command."""
    from broker.cli.commands_page import commands_page
    from broker.cli.main import app as root

    page = commands_page(root)
    if write is None:
        print(page, end="")
    else:
        write.write_text(page, encoding="utf-8")
