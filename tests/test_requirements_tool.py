"""The list of requirements must not be able to lie."""

import pytest

from tests.tools import TOP, loaded


@pytest.fixture(scope="module")
def tool():
    return loaded("requirements")


@pytest.fixture
def checkout(tmp_path, tool, monkeypatch):
    monkeypatch.setattr(tool, "TOP", tmp_path)
    (tmp_path / "list.yaml").write_text(
        "ONE-01: {level: MUST, section: S, duty: First.}\nONE-02: {level: HARD, section: S, duty: Second.}\n"
    )
    (tmp_path / "departures.yaml").write_text("# none\n")
    (tmp_path / "tests").mkdir()

    def run(source: str, *arguments: str) -> int:
        (tmp_path / "tests" / "test_it.py").write_text(source)
        return tool.main(
            [
                *("--tests", str(tmp_path / "tests")),
                *("--list", str(tmp_path / "list.yaml")),
                *("--departures", str(tmp_path / "departures.yaml")),
                *arguments,
            ]
        )

    return run


def test_an_uncovered_requirement_fails_the_check_and_is_named(checkout, capsys):
    assert checkout('@pytest.mark.requirement("ONE-01")\ndef test_a(): ...\n') == 1

    assert "ONE-02: not covered" in capsys.readouterr().err


def test_marks_count_on_functions_classes_modules_and_parameters(checkout):
    assert checkout('@pytest.mark.requirement("ONE-01", "ONE-02")\nasync def test_a(): ...\n') == 0
    assert checkout('@pytest.mark.requirement("ONE-01", "ONE-02")\nclass TestA: ...\n') == 0
    assert checkout('pytestmark = [pytest.mark.requirement("ONE-01", "ONE-02")]\n') == 0
    marks = 'pytest.param(1, marks=pytest.mark.requirement("ONE-01", "ONE-02"))'
    assert checkout(f'@pytest.mark.parametrize("x", [{marks}])\ndef test_a(x): ...\n') == 0


def test_an_unknown_id_and_a_departure_that_is_covered_fail_the_check(checkout, tmp_path, capsys):
    assert checkout('@pytest.mark.requirement("ONE-01", "ONE-02", "ONE-03")\ndef test_a(): ...\n') == 1
    assert "ONE-03: marked by" in capsys.readouterr().err

    (tmp_path / "departures.yaml").write_text("ONE-02: No such offering.\n")
    assert checkout('@pytest.mark.requirement("ONE-01")\ndef test_a(): ...\n') == 0
    assert checkout('@pytest.mark.requirement("ONE-01", "ONE-02")\ndef test_a(): ...\n') == 1
    assert "ONE-02: a departure, but" in capsys.readouterr().err


def test_a_draw_is_the_same_for_the_same_seed_and_takes_only_binding_levels(tool):
    known = tool.requirements(TOP / "tests/osb/requirements.yaml")

    drawn = tool.draw(known, 20, "abc")

    assert len(known) == 333
    assert drawn == tool.draw(known, 20, "abc") != tool.draw(known, 20, "abd")
    assert len(drawn) == 20
    assert {requirement.level for requirement in drawn} <= {"MUST", "HARD"}


def test_the_conformance_page_lists_the_duties_as_they_are_held_now(tool, capsys):
    page = (TOP / "docs" / "conformance.md").read_text(encoding="utf-8")

    assert tool.main(["--markdown"]) == 0

    assert page.endswith(" -->\n\n" + capsys.readouterr().out), "write it anew: tools/requirements --markdown"


def test_no_duty_is_uncovered(tool):
    assert tool.main([]) == 0
