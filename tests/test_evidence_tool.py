"""The table of what is shown of each offering must not be able to lie."""

import pytest

from tests.tools import loaded


@pytest.fixture(scope="module")
def tool():
    return loaded("evidence")


@pytest.fixture
def run(tool, tmp_path, monkeypatch, capsys):
    """Run it on tests of these words; exit status, table and complaints."""
    monkeypatch.setattr(tool, "TOP", tmp_path)
    (tmp_path / "tests").mkdir()

    def run(source):
        (tmp_path / "tests" / "test_it.py").write_text(source)
        ended = tool.main(["--tests", str(tmp_path / "tests")])
        printed = capsys.readouterr()
        return ended, printed.out, printed.err

    return run


def test_each_thing_that_an_offering_can_do_is_shown_by_a_test_and_the_page_says_by_which(tool, capsys):
    ended = tool.main([])

    printed = capsys.readouterr()
    assert (ended, printed.err) == (0, "")
    page = tool.PAGE.read_text()
    assert page == tool.with_table(page, printed.out.strip()), "tools/evidence --write"


def test_what_nothing_shows_is_named_and_bold_in_the_table(run):
    ended, table, complaints = run("")

    assert ended == 1
    assert "azure-storage-blob: no test shows 'bind sas'" in complaints
    assert "azure-storage-blob: no test shows 'revoke sas (...)'" in complaints
    assert "**`sas`: not shown**" in table


def test_a_mark_of_an_unknown_offering_or_of_what_an_offering_cannot_do_is_a_fault(run):
    _, _, complaints = run(
        "@pytest.mark.proves('azure-teapot', 'provision')\ndef test_a(): ...\n"
        "@pytest.mark.proves('azure-postgresql-database', 'plan change')\ndef test_b(): ...\n"
    )

    assert "azure-teapot: there is no such offering" in complaints
    assert "azure-postgresql-database: 'plan change' is nothing that it can do" in complaints


def test_marks_inside_of_parametrize_count_and_lead_to_their_test(run):
    _, table, complaints = run(
        "@pytest.mark.parametrize('way', [pytest.param('sas', marks=pytest.mark.proves("
        "'azure-storage-blob', 'bind sas', 'revoke sas (real server)'))])\n"
        "def test_it_is_refused(way): ...\n"
    )

    assert '`sas`: [real server](../../tests/test_it.py "test_it_is_refused")' in table
    assert "azure-storage-blob: no test shows 'bind sas'" not in complaints


def test_a_constant_of_the_module_stands_for_its_text(run):
    _, _, complaints = run(
        "NAME = 'azure-storage-blob'\n@pytest.mark.proves(NAME, 'provision')\ndef test_a(): ...\n"
    )

    assert "azure-storage-blob: no test shows 'provision'" not in complaints


def test_a_mark_whose_text_nobody_can_read_without_running_it_is_refused(run):
    with pytest.raises(TypeError, match="strings or constants"):
        run("@pytest.mark.proves(name(), 'provision')\ndef test_a(): ...\n")
