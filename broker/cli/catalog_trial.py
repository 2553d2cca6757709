from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from broker.cli.catalog_reading import Overlays, catalog_of, sources_of
from broker.cli.output import Form, Output, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker.proving.orders import Order
    from broker.proving.trial import Report

_OBJECT = "a JSON object, or @FILE that holds one"


def try_(
    plan: Annotated[str, typer.Argument(metavar="OFFERING/PLAN", help="What to try.")],
    *,
    folder: Annotated[
        Path | None, typer.Option(help="The catalog's folder; the shipped one if left out.")
    ] = None,
    overlay: Overlays = None,
    params: Annotated[
        str, typer.Option("--params", "--parameters", help=f"Parameters of the order: {_OBJECT}.")
    ] = "{}",
    parent_params: Annotated[
        str, typer.Option(help=f"Parameters of the parent, which is ordered first: {_OBJECT}.")
    ] = "{}",
    bind_params: Annotated[
        list[str] | None,
        typer.Option(help=f"Bind with these: {_OBJECT}. Several times: one binding each."),
    ] = None,
    update_params: Annotated[str | None, typer.Option(help=f"Update with these: {_OBJECT}.")] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the folder with the broker's database and the logs.")
    ] = False,
    form: Output = Form.TABLE,
) -> None:
    """
    Order, bind, update, unbind and delete a plan of a catalog on disk, against the simulated Azure.

    A broker of its own and a simulated Azure are started on loopback, in a temporary folder. Shown are the operations'
    words as users see them, each call to Azure, the names and types of the credentials (never their values), and what
    was left. Exit status 0 only if every step succeeded and nothing was left; 2 for a wrong order.
    """
    from broker.cli.failures import told_in_one_line
    from broker.logs import configure_logs
    from broker.proving import orders, trial
    from broker.shipped import shipped

    configure_logs("error", "text")
    place = folder or shipped("catalog")
    with told_in_one_line():
        sources = sources_of(place, overlay or ())
        catalog = catalog_of(sources)
        try:
            wanted = orders.order(
                catalog,
                plan,
                _given("--params", params),
                _given("--parent-params", parent_params),
                alias="trial",
            )
            bindings = [_given("--bind-params", text) for text in bind_params or ["{}"]]
            _check_bindings(wanted, bindings)
            update = None if update_params is None else _given("--update-params", update_params)
        except orders.WrongOrder as wrong:
            print(wrong, file=sys.stderr)
            sys.exit(2)
        models = {name: content for source in sources for name, content in source.models.items()}
        wished = trial.Trial(
            wanted, place, overlay or (), models, bindings, update, _unchecked(wanted, models)
        )
        progress = sys.stdout if form is Form.TABLE else sys.stderr
        status = asyncio.run(
            trial.tried(
                wished,
                say=lambda line: print(line, file=progress, flush=True),
                told=lambda report: _told(report, form),
                keep=keep,
            )
        )
    sys.exit(status)


def _given(option: str, text: str) -> dict[str, Any]:
    from broker.proving.orders import WrongOrder, parameters_of

    if text.startswith("@"):
        try:
            text = Path(text[1:]).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as fault:
            raise WrongOrder(f"{option}: {text[1:]} cannot be read: {fault}.") from None
    return parameters_of(option, text)


def _check_bindings(wanted: Order, bindings: list[dict[str, Any]]) -> None:
    from broker.errors import BrokerError
    from broker.proving.orders import WrongOrder

    for given in bindings if wanted.plan.bindable else ():
        try:
            wanted.plan.bind_parameters.check(given)
        except BrokerError as refused:
            raise WrongOrder(f"--bind-params: {refused.description}") from None


def _unchecked(wanted: Order, models: Mapping[str, bytes]) -> list[tuple[str, str]]:
    from broker.azure_models import shipped
    from broker.proving.trial import unchecked_types

    found = unchecked_types(wanted, shipped().beside(models))
    for kind, version in found:
        print(
            f"warning: {kind} at {version} has no model file: what is sent for it was taken unchecked, and what Azure "
            "would show and answer is made up. Make one with `osb catalog model`.",
            file=sys.stderr,
        )
    return found


def _told(report: Report, form: Form) -> None:
    if form is not Form.TABLE:
        shown(report.as_json(), form)
        return
    if report.left:
        print("Left over in Azure:")
        for left in report.left:
            print(f"  {left}")
    failed = [step.name for step in report.steps if step.problem]
    if failed:
        print(f"Failed: {', '.join(failed)}.")
    elif not report.left:
        print(f"All of {report.plan} succeeded, and nothing is left in Azure.")
    if report.unchecked:
        print(f"Not checked, for want of a model: {', '.join(report.unchecked)}.")
