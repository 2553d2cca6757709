"""`osb simulate-azure` as a process: what its options do, what it prints, and what it never prints."""

import json
import os
import pty
import signal
import subprocess
import sys

import httpx
import pytest

from tests.simulated import wait_until

OSB = [sys.executable, "-m", "broker", "simulate-azure"]
SERVERS = "Microsoft.DBforPostgreSQL/flexibleServers"


def started(folder, *options, **streams):
    process = subprocess.Popen([*OSB, "--work", folder, *options], **streams)
    ready = folder / "simulator.json"
    wait_until(lambda: ready.exists() or process.poll() is not None)
    return process, json.loads(ready.read_text()) if ready.exists() else None


def test_all_its_ways_are_open_when_asked_for_and_no_secret_is_printed(tmp_path):
    process, access = started(
        tmp_path / "azure", "--cloud", "china", "--http", "--proxy", "--no-data-planes", "--speed", "1000",
        "--api-version", f"{SERVERS}=2024-08-01", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        page = httpx.get(f"{access['http_endpoint']}/", follow_redirects=True, trust_env=False)
        process.send_signal(signal.SIGTERM)
        printed, _ = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()

    assert process.returncode == 0, printed
    assert "<title>Simulated Azure</title>" in page.text
    assert (access["cloud"], access["proxy"].startswith("http://127.")) == ("china", True)
    secrets = [(tmp_path / "azure" / name).read_text().strip() for name in ("token", "client-secret")]
    assert not [secret for secret in secrets if secret in printed + json.dumps(access)]


def test_a_person_at_a_terminal_is_shown_the_way_to_the_page(tmp_path):
    ours, theirs = pty.openpty()
    process, access = started(
        tmp_path / "azure", "--no-data-planes", stdin=theirs, stdout=theirs, stderr=subprocess.DEVNULL
    )
    os.close(theirs)
    try:
        shown = os.read(ours, 4096).decode()
    finally:
        process.terminate()
        process.wait(timeout=20)
        os.close(ours)

    token = (tmp_path / "azure" / "token").read_text().strip()
    assert shown.strip() == f"Page: {access['endpoint']}/_simulator/page#token={token}"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--cloud", "atlantis"], "there is no cloud 'atlantis'; known are public, china, usgov, custom"),
        (["--api-version", SERVERS], f"--api-version {SERVERS}: write TYPE=VERSION"),
    ],
)
def test_what_it_cannot_do_is_told_in_one_line(tmp_path, options, said):
    ran = subprocess.run(
        [*OSB, "--work", tmp_path, "--no-data-planes", *options],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip

    assert ran.returncode != 0
    assert said in ran.stderr
    assert "Traceback" not in ran.stderr
    assert not (tmp_path / "simulator.json").exists()
