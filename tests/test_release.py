"""What a release consists of: the same commit gives the same bytes, and nothing tells where it was made."""

import hashlib
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tools import release

TOP = Path(__file__).parent.parent
NOON = 1_780_000_000


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two releases of one commit, made one after the other."""
    folders = [tmp_path_factory.mktemp("release") / name for name in ("first", "second")]
    for folder in folders:
        ran = subprocess.run(
            [sys.executable, "-m", "tools.release", "--out", folder],
            cwd=TOP,
            env={**os.environ, "SOURCE_DATE_EPOCH": str(NOON)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
    return folders


def test_the_same_commit_gives_the_same_bytes(made):
    first, second = ({file.name: file.read_bytes() for file in folder.iterdir()} for folder in made)

    assert first == second
    assert {name.rpartition(".")[2] for name in first} >= {"whl", "gz", "json", "md", "SHA256SUMS"}


def test_the_checksums_are_those_of_all_other_files(made):
    lines = (made[0] / "SHA256SUMS").read_text().splitlines()

    sums = dict(reversed(line.split("  ")) for line in lines)
    assert sums.keys() == {file.name for file in made[0].iterdir()} - {"SHA256SUMS"}
    assert all(hashlib.sha256((made[0] / name).read_bytes()).hexdigest() == sums[name] for name in sums)


def test_the_bill_of_materials_has_each_locked_package_and_no_address(made):
    (file,) = made[0].glob("*.cdx.json")

    bill = json.loads(file.read_text())

    assert bill["specVersion"] == "1.6"
    assert {(one["name"], one["version"]) for one in bill["components"]} == {
        (name, version) for name, version, _ in release.locked()
    }
    fastapi = next(one for one in bill["components"] if one["name"] == "fastapi")
    assert fastapi["licenses"]
    assert fastapi["properties"]
    del bill["$schema"]
    assert "://" not in json.dumps(bill)
    assert str(TOP) not in file.read_text()


def test_the_source_distribution_can_be_read_and_names_nobody(made):
    (file,) = made[0].glob("*.tar.gz")

    with tarfile.open(file) as packed:
        names = packed.getnames()
        assert {member.uname for member in packed} | {member.gname for member in packed} <= {"", "root"}

    assert any(name.endswith("/broker/app.py") for name in names)
    assert not [name for name in names if "/tests/" in name]


def test_the_notes_are_the_chapter_of_the_version():
    changelog = "# Changelog\n\n## Unreleased\n\n- Soon.\n\n## 1.2.0 - 2026-01-01\n\n- Now.\n\n## 1.2.0rc1\n\n- Then.\n"

    assert release.notes("1.2.0", changelog) == "# 1.2.0\n\n- Now.\n"
    assert release.notes("1.3.0", changelog) == "# 1.3.0 (not released)\n\n- Soon.\n"
    with pytest.raises(release.CannotRelease, match=r"no chapter 1\.3\.0"):
        release.notes("1.3.0", "# Changelog\n")


def test_a_chart_is_packed_the_same_way_each_time(tmp_path, monkeypatch):
    chart = tmp_path / "charts" / "a-chart"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text("apiVersion: v2\nname: a-chart\nversion: 0.3.0\n")
    (chart / "templates" / "a.yaml").write_text("a: 1\n")
    monkeypatch.setattr(release, "TOP", tmp_path)

    packages = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        release.charts(tmp_path / name, NOON)
        packages.append((tmp_path / name / "a-chart-0.3.0.tgz").read_bytes())

    assert packages[0] == packages[1]
    with tarfile.open(tmp_path / "first" / "a-chart-0.3.0.tgz") as packed:
        assert packed.getnames() == ["a-chart/Chart.yaml", "a-chart/templates/a.yaml"]


@pytest.mark.needs("helm")
def test_helm_takes_the_packed_chart_for_what_is_in_the_folder(made):
    from tests.kubernetes.charts import CHART, helm
    from tests.kubernetes.matrix import MATRIX

    (packed,) = made[0].glob("azure-service-broker-*.tgz")
    values = json.dumps({**MATRIX["production"], "serviceCatalog": {"register": "none"}})

    of_package, of_folder = (
        helm("template", "broker", chart, "--values", "-", given=values) for chart in (packed, CHART)
    )

    assert of_package == of_folder
    assert "0 chart(s) failed" in helm("lint", packed, "--set", "settings.broker_id=a,settings.azure_location=b,"
                                       "settings.azure_subscription_id=00000000-0000-0000-0000-000000000000,"
                                       "database.existingSecret=c")  # fmt: skip
