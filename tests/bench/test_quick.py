import json
import subprocess
import sys


def test_a_quick_run_measures_everything_that_the_long_one_does(tmp_path):
    figures = tmp_path / "figures.json"

    run = subprocess.run(
        [sys.executable, "-m", "bench", "--quick", "--json", str(figures)],
        capture_output=True,
        text=True,
        timeout=200,  # 45 seconds on two idle cores
        check=False,
    )

    assert run.returncode == 0, run.stderr
    measured = {figure["name"]: figure for figure in json.loads(figures.read_text())}
    assert [name for name, figure in measured.items() if figure.get("ratio")] == [
        "GET /v2/catalog, 200",
        "GET /v2/catalog, 304",
        "500 offerings with 2000 plans loaded",
        "GET /v2/catalog, 2000 plans: the broker's own part",
        "GET last_operation, PostgreSQL",
        "provision accepted (202), PostgreSQL",
        *(
            f"GET {what} while catalogs are published, {where}, p99"
            for where in ("publisher", "follower")
            for what in ("last_operation", "catalog")
        ),
    ]
    assert {name for name, figure in measured.items() if not figure.get("ratio")} == {
        "accepted to first request at Azure, p50",
        "accepted to first request at Azure, p99",
        "ready, beyond the imports of its libraries",
        "100 waiting operations: memory",
        "100 waiting operations: processor",
        "100 waiting operations: database",
        "killed process to claim by another",
    }
