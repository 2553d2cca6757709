"""`make run` and the README's walk through it: what is printed there is run here, as it is written."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

TOP = Path(__file__).parent.parent.parent
# A server takes Azure 5 minutes, so some seconds here; starting takes a few more.
WITHIN = 90


@pytest.fixture
def playground(tmp_path):
    """`osb run` in an empty folder, with what it has printed and the URL of its broker."""
    process = subprocess.Popen(
        [sys.executable, "-m", "broker", "run", "--work", tmp_path, "--port", "0", "--speed", "100"],
        cwd=TOP,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    printed = ""
    try:
        while "Ctrl-C ends it" not in printed:
            line = process.stdout.readline()
            assert line, printed
            printed += line
        yield process, printed, re.search(r"answers at (\S+)", printed)[1]
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=WITHIN)
    assert process.returncode == 0


def walkthrough():
    text = (TOP / "README.md").read_text(encoding="utf-8")
    return re.search(r"<!-- tested: walkthrough -->\n```sh\n(.*?)```", text, re.DOTALL)[1]


def test_the_walk_through_the_readme_works_as_it_is_written(playground, tmp_path):
    _, _, url = playground
    script = walkthrough().replace("http://127.0.0.1:8080", url).replace(".work/run", f"{tmp_path}/run")

    walked = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        capture_output=True,
        text=True,
        timeout=WITHIN,
        check=False,
        env={"PATH": os.environ["PATH"]},
    )

    assert walked.returncode == 0, walked.stdout + walked.stderr
    assert '"error"' not in walked.stdout, walked.stdout
    assert '"services"' in walked.stdout
    assert "sslmode=verify-full" in walked.stdout


def test_what_is_printed_names_things_that_are_there(playground, tmp_path):
    _, printed, url = playground

    password = (tmp_path / "run" / "platform-password").read_text().strip()
    assert password not in printed
    catalog = httpx.get(
        url + "/v2/catalog", auth=("demo", password), headers={"X-Broker-API-Version": "2.17"}
    ).json()
    for name in re.findall(r"clusterServiceClassExternalName: (\S+)", printed):
        assert name in {offering["name"] for offering in catalog["services"]}
    for word in ("service_id", "plan_id"):
        for used in re.findall(rf'"{word}": "([^"]+)"', printed):
            assert used in str(catalog)
    for health in re.findall(r"http://\S+/readyz|http://\S+/metrics", printed):
        assert httpx.get(health).status_code == 200
    page, token_file = re.search(
        r"page in a browser: (\S+) \(it asks for what is in (\S+)\)", printed
    ).groups()
    assert "<title>Simulated Azure</title>" in httpx.get(page, follow_redirects=True).text
    assert Path(token_file).read_text().strip() not in printed
    for secret in ("sealing-keys", "platform-password", "platforms.json"):
        assert (tmp_path / "run" / secret).stat().st_mode & 0o777 == 0o600
