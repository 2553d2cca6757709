"""Every sentence in the sources that tells somebody of a failure: read from the code, so that none is forgotten."""

import ast
import importlib
import inspect
import re
from pathlib import Path
from uuid import uuid4

import pytest

from broker import errors
from broker.data_planes import base as data_planes
from broker.domain import descriptions
from tests.descriptions import faults_of

PACKAGE = Path(__file__).parent.parent / "broker"

# Other people's programs and the operator's own terminal: what these say is no description of an operation.
ELSEWHERE = {"simulator", "demo", "proving", "cli", "azure", "catalog", "azure_models"}
STEPS = {"Impossible", "Contradiction", "StepFailed", "Trouble", "Next", "failed", "end"}
REFUSALS = {
    name for name, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.BrokerError)
}
COMPOSED = {name for name in REFUSALS if name != "BrokerError" and "__init__" in vars(getattr(errors, name))}
# What a wrong request has to be instead is what to do.
REQUEST_SAYS = re.compile(
    r"must|missing|needed|longer|larger|holds|is no |are no |not JSON|not UTF-8|no body|too early|cannot|can only|set |"
    r"leave out|rename|used without|carries no|in use|exists already|there is no|no longer|not the one|can be|no such|"
    r"took longer|is still|still being|complete|an unforeseen|has ended|being undone|already|has nothing|has no |"
    r"being deleted|is not the latest|name the",
    re.IGNORECASE,
)
CHECKED_ELSEWHERE = ("'thing': it did not end within",)
"""Sentences whose advice depends on the operation: tests/operations/test_descriptions.py has each of them."""


def planes():
    """All classes of failures inside servers, by name."""
    modules = (
        importlib.import_module(f"broker.data_planes.{file.stem}")
        for file in sorted((PACKAGE / "data_planes").glob("*.py"))
    )
    return {
        name: kind
        for module in modules
        for name, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, data_planes.DataPlaneFailure)
    }


PLANES = planes()


def said(node: ast.expr) -> str | None:
    """The sentence that an expression is, with a sample for each thing put in; None: it is somebody else's sentence."""
    match node:
        case ast.Constant(value=str() as text):
            return text
        case ast.JoinedStr(values=values):
            return "".join(said(value) or "" for value in values)
        case ast.FormattedValue():
            return "'thing'"
        case ast.BinOp(left=left, right=right):
            return (said(left) or "") + (said(right) or "")
        case _:
            return None


def sentences():
    for file in sorted(PACKAGE.rglob("*.py")):
        part = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if part in ELSEWHERE:
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            of_a_refusal = name == "__init__" and part == "errors"
            if name not in STEPS | REFUSALS | PLANES.keys() and not of_a_refusal:
                continue
            if name in COMPOSED:
                continue  # It is given the parts and makes the sentence itself, which is read there.
            if name == "Next" and not any("FAILED" in ast.unparse(argument) for argument in node.args[:1]):
                continue
            # Any argument that is a sentence: none of these calls has a text that is none.
            given = [*node.args, *(word.value for word in node.keywords if word.arg == "description")]
            for argument in given:
                text = said(argument)
                if text is None or text.startswith(CHECKED_ELSEWHERE):
                    continue
                # A sentence that is put together of others' sentences alone is not ours.
                if len(re.sub(r"'thing'|\(.*\)", "", text).split()) > 1:
                    where = f"{file.relative_to(PACKAGE)}:{argument.lineno}"
                    yield pytest.param(
                        name, text.replace("''thing''", "'thing'"), "administration" in where, id=where
                    )


@pytest.mark.parametrize(("name", "text", "of_operators"), list(sentences()))
def test_a_sentence_says_what_about_and_what_to_do(name, text, of_operators):
    if name in PLANES:
        text = f"{text} {PLANES[name].advice}"
    # A refusal is about the request at hand, and what is wrong with it is what has to be changed.
    request = name in REFUSALS | {"__init__", "Contradiction"}
    faults = faults_of(text, names_something=not request)
    # What operators are told of their own deeds says how things are; what to do is theirs to know.
    if request and (of_operators or REQUEST_SAYS.search(text)):
        faults = [fault for fault in faults if fault != "says nothing of what to do"]

    assert not faults, text


def test_many_sentences_are_read():
    assert len(list(sentences())) > 120


@pytest.mark.parametrize("kind", list(PLANES.values()), ids=list(PLANES))
def test_a_failure_inside_a_server_says_what_to_do(kind):
    assert not faults_of(f"The database server db.example.test did it. {kind.advice}")


@pytest.mark.parametrize(
    "useless",
    [
        "",
        "It failed.",
        "KeyError",
        "AzureFailure.",
        "Reason: None, ask the operator about 'x'.",
        "An unknown error befell 'x'; order again.",
        "Server 'x' is broken for a reason.",
        "Something is broken somewhere; order again.",
        "Server 'x'\nis broken; order again.",
        "Server '/subscriptions/s/resourceGroups/g' is broken; order again.",
        "Server 'x' of 00000000-1111-2222-3333-444444444444 is broken; order again.",
        f"Server 'x' is broken {'and broken ' * 100}; order again.",
    ],
)
def test_a_useless_description_is_told_from_a_good_one(useless):
    good = "Server 'x' is broken; order again. (correlation 00000000-1111-2222-3333-444444444444)"

    assert faults_of(useless)
    assert not faults_of(good)


def test_what_is_too_long_keeps_its_beginning_its_end_and_its_code():
    operation = uuid4()
    long = f"Server 'x'\nis broken. {'Very. ' * 400} Order again. (code SkuNotAvailable, correlation c-1)"

    shown = descriptions.failure(long, operation)

    assert len(shown) <= 1000
    assert shown.startswith("Server 'x' is broken. Very.")
    assert shown.endswith("Order again. (code SkuNotAvailable, correlation c-1)")
    assert descriptions.failure("Order again.", operation) == f"Order again. (operation {operation})"
