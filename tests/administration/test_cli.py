"""The `osb` command as an operator runs it: a process of its own, against a broker on a real port."""

import json
import os
import secrets
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.administration.desk import ALICE, PASSWORDS, READER
from tests.osb.platform import an_id, order

# What is printed does not hang on the database.
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True, scope="session")

TOP = Path(__file__).parent.parent.parent


@pytest.fixture
def home(tmp_path, broker):
    """A home folder with profiles for two operators and for a stranger."""
    folder = tmp_path / "config" / "osb"
    folder.mkdir(parents=True)
    lines = ['default = "rita"']
    for name, token in (
        ("rita", READER.bearer_tokens[0]),
        ("alice", ALICE.bearer_tokens[0]),
        ("stranger", PASSWORDS["kubernetes"]),
    ):
        (tmp_path / f"{name}.token").write_text(token + "\n")
        lines += [f"[profiles.{name}]", f'url = "{broker.url}/"', f'token_file = "{tmp_path}/{name}.token"']
    (folder / "profiles.toml").write_text("\n".join(lines))
    return tmp_path


@pytest.fixture
def osb(home):
    """Run `osb` with that home; returns the finished process."""

    def run(*arguments, **environment):
        return subprocess.run(
            [sys.executable, "-m", "broker", *map(str, arguments)],
            cwd=TOP,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(home),
                "XDG_CONFIG_HOME": str(home / "config"),
                **environment,
            },
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=60,
            check=False,
        )

    return run


def done(process):
    assert process.returncode == 0, process.stderr
    assert process.stderr == ""
    return process.stdout


def test_a_list_is_a_table_for_people_and_a_document_for_programs(osb, platform):
    namespace = an_id()
    context = {"platform": "kubernetes", "namespace": namespace}
    ids = [platform.ready(order(context=context)) for _ in range(2)]
    asked = ("instance", "list", "--search", namespace, "--plan", "kept-things/small")

    table = done(osb(*asked)).splitlines()
    as_json = json.loads(done(osb(*asked, "-o", "json")))
    as_yaml = yaml.safe_load(done(osb(*asked, "-o", "yaml")))
    cut = osb(*asked, "--limit", 1)

    assert table[0].split() == ["PLATFORM", "INSTANCE", "PLAN", "STATE", "PLACE", "AGE", "OPERATION", "STUCK"]
    assert [line.split()[1] for line in table[1:]] == ids[::-1]
    assert [one["instance_id"] for one in as_json] == ids[::-1]
    assert as_json == as_yaml
    assert len(cut.stdout.splitlines()) == 2
    assert "--limit" in cut.stderr


def refused(process, status):
    assert process.returncode == status, process.stderr
    assert process.stdout == ""
    assert "Traceback" not in process.stderr
    return process.stderr


def test_what_goes_wrong_is_one_line_and_an_exit_status(osb, home, broker):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        unreachable = refused(osb("instance", "list", OSB_URL=nowhere, OSB_TOKEN="x" * 32), 3)
    in_clear = refused(osb("instance", "list", OSB_URL="http://broker.example", OSB_TOKEN="x" * 32), 2)
    no_tls = refused(
        osb("instance", "list", OSB_URL=broker.url.replace("http:", "https:"), OSB_TOKEN="x" * 32), 3
    )
    stranger = refused(osb("instance", "list", "--profile", "stranger"), 4)
    unknown = refused(osb("instance", "list", "--profile", "nobody"), 2)
    malformed = refused(osb("instance", "list", "--older-than", "long"), 1)

    assert f"{nowhere} cannot be reached" in unreachable
    assert "in clear" in in_clear
    assert "does not prove who it is" in no_tls
    assert "(401 Unauthorized)" in stranger
    assert "alice, rita, stranger" in unknown
    assert "older_than" in malformed
    assert all(len(said.splitlines()) == 1 for said in (unreachable, in_clear, no_tls, stranger, unknown))


def test_a_token_comes_from_a_file_a_variable_or_a_command_and_never_from_the_command_line(osb, home, broker):
    profiles = home / "config" / "osb" / "profiles.toml"
    token = READER.bearer_tokens[0]
    profiles.write_text(
        f'[profiles.variable]\nurl = "{broker.url}"\ntoken_env = "MY_TOKEN"\n'
        f'[profiles.command]\nurl = "{broker.url}"\ntoken_command = ["cat", "{home}/rita.token"]\n'
        f'[profiles.failing]\nurl = "{broker.url}"\ntoken_command = "false"\n'
        f'[profiles.both]\nurl = "{broker.url}"\ntoken_env = "A"\ntoken_file = "B"\n'
    )

    done(osb("instance", "list", "--profile", "variable", MY_TOKEN=token))
    done(osb("instance", "list", OSB_PROFILE="command"))
    done(osb("instance", "list", OSB_URL=broker.url, OSB_TOKEN_FILE=str(home / "rita.token")))

    assert "MY_TOKEN, which is not set" in refused(osb("instance", "list", "--profile", "variable"), 2)
    assert "gave no token" in refused(osb("instance", "list", "--profile", "failing"), 2)
    assert "needs one of" in refused(osb("instance", "list", "--profile", "both"), 2)
    assert "several profiles" in refused(osb("instance", "list"), 2)
    assert "--token" not in osb("instance", "list", "--help").stdout


def test_a_profiles_file_that_is_wrong_is_named_with_the_fault(osb, home, broker):
    profiles = home / "config" / "osb" / "profiles.toml"

    profiles.write_text("not TOML at all")
    assert f"{profiles} is not TOML" in refused(osb("instance", "list"), 2)
    profiles.write_text(f'[profiles.a]\nurl = "{broker.url}"\ntoken = "{secrets.token_hex(32)}"\n')
    assert "unknown key 'token'" in refused(osb("instance", "list"), 2)
    profiles.unlink()
    assert "profiles.toml" in refused(osb("instance", "list"), 2)


def test_the_shell_completes_commands_and_profiles(home):
    script = "import sys; sys.argv[0] = 'osb'; from broker.cli import main; main()"

    def completed(line):
        return subprocess.run(
            [sys.executable, "-c", script],
            cwd=TOP,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(home),
                "XDG_CONFIG_HOME": str(home / "config"),
                "_OSB_COMPLETE": "complete_bash",
                "COMP_WORDS": line,
                "COMP_CWORD": str(len(line.split(" ")) - 1),
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        ).stdout.split()

    assert "instance" in completed("osb inst")
    assert completed("osb instance list --profile al") == ["alice"]
