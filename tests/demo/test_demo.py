"""The demo sees what it should, and notices each sabotage: in an installed broker, in scaled time."""

import contextlib
import os
import subprocess
from pathlib import Path

import pytest

from broker.demo.steps import STEPS

# Azure's 5 minutes for a server take 3 s, long enough for a broker to be killed and started meanwhile.
SPEED = 100
WITHIN = 180


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    """The database servers' empty data folder: made by the first demo, copied by the others."""
    return tmp_path_factory.mktemp("template")


def play(installed, template, work, *arguments):
    return subprocess.run(
        [
            installed / "bin" / "osb",
            "demo",
            "--work",
            work,
            "--speed",
            str(SPEED),
            "--template",
            template,
            *arguments,
        ],
        cwd=work,
        env={"PATH": os.environ["PATH"], "HOME": str(work), "LANG": "C.UTF-8"},
        capture_output=True,
        text=True,
        timeout=WITHIN,
        check=False,
    )


def test_the_main_job_is_done_and_seen_by_others(installed, template, tmp_path):
    shown = play(installed, template, tmp_path)

    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert f"All {len(STEPS)} steps were seen" in shown.stdout
    assert nobody_left(tmp_path)


@pytest.mark.parametrize("step", [step.name for step in STEPS])
def test_a_sabotaged_step_is_noticed(installed, template, tmp_path, step):
    shown = play(installed, template, tmp_path, "--break", step)

    assert shown.returncode == 1, shown.stdout + shown.stderr
    assert f"Not seen, in step '{step}'" in shown.stdout, shown.stdout + shown.stderr
    assert nobody_left(tmp_path)


def test_an_unknown_step_is_refused_before_anything_starts(installed, template, tmp_path):
    shown = play(installed, template, tmp_path, "--break", "lunch")

    assert shown.returncode == 2
    assert "start, catalog" in shown.stderr
    assert list(tmp_path.iterdir()) == []


def nobody_left(work):
    """Tell whether no process names the work folder any more."""
    commands = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            commands.append(file.read_bytes().decode(errors="replace"))
    assert commands, "the processes of this machine cannot be listed"
    return not [command for command in commands if str(work) in command]
