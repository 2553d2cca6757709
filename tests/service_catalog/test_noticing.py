"""What the documentation says of pauses is what the double does."""

from datetime import timedelta
from pathlib import Path

from tests.service_catalog.noticing import noticed, table

PAGE = Path(__file__).parents[2] / "docs" / "kubernetes-service-catalog.md"


def test_the_documented_table_is_what_the_double_does():
    assert table() in PAGE.read_text(encoding="utf-8"), "make it again: python -m tests.service_catalog"


def test_with_the_recommended_flag_nothing_is_noticed_later_than_its_pause():
    assert noticed(timedelta(seconds=30), range(30, 3000, 101)).longest <= 30
