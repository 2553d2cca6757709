"""The Dockerfile, carried out without a container engine."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools.replay_image import CannotReplay, Stage, carry_out, instructions

TOP = Path(__file__).parent.parent


def test_the_instructions_are_read_without_comments_and_in_one_line_each():
    read = instructions(
        "# head\nFROM a AS build\nRUN one \\\n    && two\n# about the next\nENV A=1 \\\n  B=2\n"
    )

    assert read == [("FROM", "a AS build"), ("RUN", "one  && two"), ("ENV", "A=1  B=2")]


def test_all_that_the_dockerfile_says_is_understood():
    understood = {"FROM", "ENV", "WORKDIR", "RUN", "COPY", "USER", "HEALTHCHECK", "ENTRYPOINT", "CMD"}
    read = instructions((TOP / "Dockerfile").read_text())

    assert {word for word, _ in read} <= understood | {"LABEL", "EXPOSE", "STOPSIGNAL"}
    assert [rest for word, rest in read if word == "USER"] == ["10001:10001"]


def test_a_stage_knows_its_variables_and_its_folder_and_takes_from_another_one(tmp_path):
    former, stage = Stage(tmp_path / "former"), Stage(tmp_path / "stage")
    (former.mkdir("/opt/it") / "file").write_text("made before")

    carry_out(stage, "ENV", "PATH=/opt/it:$PATH MODE=quiet", {}, tmp_path)
    carry_out(stage, "WORKDIR", "/build", {}, tmp_path)
    carry_out(stage, "COPY", "--from=former /opt/it it", {"former": former}, tmp_path)

    assert stage.environment["PATH"].startswith("/opt/it:/usr/local/bin")
    assert stage.environment["MODE"] == "quiet"
    assert (tmp_path / "stage/build/it/file").read_text() == "made before"


def test_what_is_not_understood_stops_the_replay(tmp_path):
    with pytest.raises(CannotReplay, match="ADD is not understood"):
        carry_out(Stage(tmp_path), "ADD", "a b", {}, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(900)  # it makes a Debian and installs all packages
@pytest.mark.skipif(not os.environ.get("TEST_IMAGE"), reason="two minutes: TEST_IMAGE=1, or make image")
@pytest.mark.skipif(os.geteuid() != 0, reason="it mounts and enters roots of its own: run it as root")
@pytest.mark.needs("debootstrap")
def test_the_image_serves_as_an_ordinary_user_on_a_read_only_root():
    ran = subprocess.run(
        [sys.executable, "-m", "tools.replay_image"], cwd=TOP, capture_output=True, text=True, check=False
    )

    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
    assert "SIGTERM: status 0" in ran.stdout
