"""A file of rules that changes while they are in force."""

import pytest

from broker.metrics import Metrics
from broker.tenants.reader import TenantRulesRefused
from broker.tenants.source import TenantRulesFile
from tests.tenants.tables import THINGS

pytestmark = pytest.mark.anyio


def naming(name: str) -> str:
    return f"rules:\n  - name: {name}\n"


def names(source: TenantRulesFile) -> list[str]:
    return [rule.name for rule in source.current().rules]


def refused_by(metrics: Metrics) -> float | None:
    return metrics.registry.get_sample_value("broker_tenant_rules_refused")


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "rules.yaml"
    file.write_text(naming("first"))
    return file


@pytest.fixture
def metrics():
    return Metrics()


@pytest.fixture
def source(file, metrics):
    return TenantRulesFile(file, lambda: THINGS, on_look=metrics.tenant_rules_looked_at)


async def test_changed_rules_are_in_force_after_the_next_look(source, file):
    file.write_text(naming("second"))

    changed, again = await source.refresh(), await source.refresh()

    assert (changed, again) == (True, False)
    assert names(source) == ["second"]


@pytest.mark.parametrize("bad", ["rules: [", "rules:\n  - name: first\n    plan: {}\n", None])
async def test_a_bad_change_leaves_the_last_good_rules_in_force_and_is_told_until_it_is_mended(
    source, file, metrics, bad
):
    file.write_text(bad) if bad else file.unlink()

    changed = await source.refresh()
    told, refused = await source.note(), refused_by(metrics)
    in_force = names(source)
    file.write_text(naming("third"))
    await source.refresh()

    assert (changed, in_force, refused) == (False, ["first"], 1)
    assert "stay in force" in told
    assert "rules.yaml" in told
    assert (names(source), await source.note(), refused_by(metrics)) == (["third"], None, 0)


async def test_a_bad_change_that_is_taken_back_is_forgotten(source, file, metrics):
    file.write_text("nonsense")
    await source.refresh()
    file.write_text(naming("first"))

    changed = await source.refresh()

    assert not changed
    assert (await source.note(), refused_by(metrics)) == (None, 0)


async def test_a_config_map_that_is_swapped_by_its_link_is_followed(tmp_path):
    def put(name: str, text: str) -> None:
        (tmp_path / name).mkdir()
        (tmp_path / name / "rules.yaml").write_text(text)
        (tmp_path / "..data_tmp").symlink_to(name)
        (tmp_path / "..data_tmp").rename(tmp_path / "..data")

    put("..2026_1", naming("first"))
    (tmp_path / "rules.yaml").symlink_to("..data/rules.yaml")
    source = TenantRulesFile(tmp_path / "rules.yaml", lambda: THINGS)

    put("..2026_2", naming("second"))

    assert await source.refresh()
    assert names(source) == ["second"]


async def test_bad_rules_refuse_the_start(file):
    file.write_text("rules:\n  - name: one\n    when: {namespace: a, space: b}\n")

    with pytest.raises(TenantRulesRefused, match=r"rules\.yaml:3: rules\[0\]\.when: can never match"):
        TenantRulesFile(file, lambda: THINGS)
