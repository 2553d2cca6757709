import sys
from pathlib import Path
from typing import Annotated

import typer


def model(
    resource_type: Annotated[
        str, typer.Argument(metavar="TYPE", help="Resource type, such as Microsoft.Cache/redis.")
    ],
    *,
    sdk: Annotated[
        str, typer.Option(metavar="PACKAGE", help="The provider's typed SDK, installed beside the broker.")
    ] = "",
    openapi: Annotated[Path | None, typer.Option(help="The provider's OpenAPI 2.0 file.")] = None,
    root: Annotated[
        Path | None, typer.Option(help="Folder that holds all files to which the OpenAPI file refers.")
    ] = None,
    api_version: Annotated[
        str | None, typer.Option(help="Which one, where the SDK speaks several api-versions.")
    ] = None,
    body: Annotated[
        str | None, typer.Option(help="Class of the SDK to describe, where its PUT takes one of less.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="The catalog's folder `models`; without it the model is printed."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a model that is there.")] = False,
) -> None:
    """
    Make a model file: what a resource type's body looks like, so that `check` and `try` can tell what Azure refuses.

    From a typed SDK (`azure-mgmt-...`) that is installed beside the broker, or from a provider's OpenAPI file on this
    machine; nothing is fetched. It stands in the folder `models` of the catalog that uses the type.
    """
    from broker.azure_models import Models
    from broker.azure_models.model_files import Undescribable, file_name, text_of

    if bool(sdk) == (openapi is not None):
        raise typer.BadParameter("name exactly one source: --sdk PACKAGE or --openapi FILE")
    try:
        if openapi is not None:
            from broker.azure_models import openapi as provider

            described = provider.describe(openapi, resource_type, root=root)
        else:
            from broker.azure_models import typed_sdk

            described = typed_sdk.describe(
                typed_sdk.installed(sdk, api_version=api_version), resource_type, body=body
            )
    except Undescribable as reason:
        print(f"No model of {resource_type}: {reason}.", file=sys.stderr)
        sys.exit(1)
    name, text = file_name(described["type"], described["api_version"]), text_of(described)
    Models({}).beside({name: text.encode()})
    if out is None:
        print(text, end="")
        return
    out.mkdir(parents=True, exist_ok=True)
    if (out / name).exists() and not force:
        print(f"{out / name} is there already; --force writes over it.", file=sys.stderr)
        sys.exit(1)
    (out / name).write_text(text, encoding="utf-8")
    print(f"{out / name}: {len(described['models'])} kinds of objects of {described['type']}.")
