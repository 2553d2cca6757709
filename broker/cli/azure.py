import typer

app = typer.Typer(help="What the broker may do in Azure, and whether it works there.", no_args_is_help=True)


@app.callback()
def _nouns() -> None:
    """Hold the commands of this noun."""
