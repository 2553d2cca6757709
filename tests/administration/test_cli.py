"""The `osb` command as an operator runs it: a process of its own, against a broker on a real port."""

import json
import os
import pty
import secrets
import socket
import socketserver
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from tests.administration.desk import READER
from tests.osb.platform import an_id, order
from tests.simulated import wait_until

# What is printed does not hang on the database.
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True, scope="session")

TOP = Path(__file__).parent.parent.parent


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


def test_a_token_without_tls_goes_to_no_proxy_of_the_environment(osb, broker):
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        proxy.settimeout(0)
        address = f"http://127.0.0.1:{proxy.getsockname()[1]}"

        listed = osb(
            "instance", "list", "--limit", 1, HTTP_PROXY=address, ALL_PROXY=address, http_proxy=address
        )

        assert listed.returncode == 0, listed.stderr

        with pytest.raises(BlockingIOError):
            proxy.accept()


def test_a_profiles_file_that_is_wrong_is_named_with_the_fault(osb, home, broker):
    profiles = home / "config" / "osb" / "profiles.toml"

    profiles.write_text("not TOML at all")
    assert f"{profiles} is not TOML" in refused(osb("instance", "list"), 2)
    profiles.write_text(f'[profiles.a]\nurl = "{broker.url}"\ntoken = "{secrets.token_hex(32)}"\n')
    assert "unknown key 'token'" in refused(osb("instance", "list"), 2)
    profiles.unlink()
    assert "profiles.toml" in refused(osb("instance", "list"), 2)


def test_the_shell_completes_commands_and_profiles(environment):
    script = "import sys; sys.argv[0] = 'osb'; from broker.cli import main; main()"

    def completed(line):
        return subprocess.run(
            [sys.executable, "-c", script],
            cwd=TOP,
            env={
                **environment,
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


def on_a_terminal(environment, arguments, answer):
    """Run `osb` with a terminal as its standard input, and answer its question."""
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "broker", *arguments],
            cwd=TOP,
            env=environment,
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        os.write(ours, answer)
        output, said = process.communicate(timeout=60)
        return process.returncode, output, said
    finally:
        os.close(ours)
        os.close(theirs)


def test_who_does_not_say_yes_is_told_and_asked_and_nothing_is_done_before(
    environment, osb, alice, platform, external
):
    instance = platform.ready()
    arguments = [
        "instance",
        "abandon",
        instance,
        "--keep-in-azure",
        "--reason",
        "A test.",
        "--profile",
        "alice",
    ]

    nobody = osb(*arguments)
    no = on_a_terminal(environment, arguments, b"n\n")
    still_there = alice.get(f"/instances/{instance}").status_code
    yes = on_a_terminal(environment, arguments, b"y\n")

    assert (nobody.returncode, nobody.stdout) == (1, "")
    assert "is forgotten" in nobody.stderr
    assert "--yes" in nobody.stderr
    assert (no[0], no[1].strip()) == (1, "")
    assert "Nothing was done." in no[2]
    assert still_there == 200
    assert (yes[0], yes[1].splitlines()[0].strip()) == (0, "Done:")
    assert alice.get(f"/instances/{instance}").status_code == 404


def test_waiting_tells_how_it_goes_and_how_it_ended(osb, alice, platform, external):
    instance = platform.ready()
    external.hold(instance, "delete")
    deletion = (
        "instance",
        "delete",
        instance,
        "--reason",
        "A test.",
        "--yes",
        "--wait",
        "--profile",
        "alice",
    )

    goes_on = osb(*deletion, "--timeout", "500ms")
    external.fail(instance, "delete", "A lock is on it.")
    external.release(instance)
    platform.settle(instance)
    failed = osb(*deletion, "-o", "json")
    external.mend(instance)
    succeeded = osb(*deletion)

    assert goes_on.returncode == 6
    assert "in progress" in goes_on.stderr
    assert (
        f"osb operation wait {alice.all('/operations', instance_id=instance)[-1]['id']}"[:18]
        in goes_on.stderr
    )
    assert failed.returncode == 1
    assert "failed: " in failed.stderr
    assert "A lock is on it." in failed.stderr
    assert succeeded.returncode == 0, succeeded.stderr
    assert "succeeded" in succeeded.stderr
    assert external.living(instance) == []


def test_waiting_outlasts_a_broker_that_is_away_for_a_moment(environment, broker, alice, platform, external):
    instance = an_id()
    external.hold(instance, "create")
    platform.provision(instance)
    operation = alice.running(instance)["id"]
    # A door that is opened later than it is knocked at, and closed once in between.
    host, port = "127.0.0.1", a_free_port()
    more = {"OSB_URL": f"http://{host}:{port}", "OSB_TOKEN": READER.bearer_tokens[0]}
    waits = subprocess.Popen(
        [sys.executable, "-m", "broker", "operation", "wait", operation],
        cwd=TOP,
        env={**environment, **more},
        stderr=subprocess.PIPE,
        text=True,
    )
    said: list[str] = []
    reading = threading.Thread(target=lambda: said.extend(waits.stderr))
    reading.start()

    with a_door(port, broker.url):
        wait_until(lambda: any("in progress" in line for line in said))
    time.sleep(0.5)  # at least one look meets a closed door
    external.release(instance)
    with a_door(port, broker.url):
        status = waits.wait(timeout=60)
    reading.join()
    waits.stderr.close()

    assert status == 0, said
    assert "succeeded" in said[-1]


def a_free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class _Door(socketserver.ThreadingTCPServer):
    """Hands connections on to a broker."""

    allow_reuse_address = True
    daemon_threads = True


@contextmanager
def a_door(port, url):
    there, open_now = urlsplit(url), []

    class Hands(socketserver.BaseRequestHandler):
        def handle(self):
            open_now.append(self.request)
            with socket.create_connection((there.hostname, there.port)) as broker:
                back = threading.Thread(target=pump, args=(broker, self.request), daemon=True)
                back.start()
                pump(self.request, broker)

    def pump(source, sink):
        with suppress(OSError):
            while read := source.recv(65536):
                sink.sendall(read)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)

    with _Door(("127.0.0.1", port), Hands) as door:
        thread = threading.Thread(target=door.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield
        door.shutdown()
        door.server_close()
        for one in open_now:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


def test_what_only_an_operator_can_know_has_no_default(osb, alice, platform):
    instance = platform.ready()
    abandon = ("instance", "abandon", instance, "--yes", "--profile", "alice")

    neither = osb(*abandon, "--reason", "x")
    both = osb(*abandon, "--reason", "x", "--keep-in-azure", "--delete-in-azure")
    no_reason = osb(*abandon, "--keep-in-azure")
    reader = osb("instance", "delete", instance, "--reason", "x", "--yes")
    unknown = osb("operation", "show", an_id())
    odd = osb("instance", "show", "../operations")

    assert (neither.returncode, both.returncode, no_reason.returncode) == (2, 2, 2)
    assert "--reason" in no_reason.stderr
    assert (reader.returncode, "'read'" in reader.stderr) == (4, True)
    assert unknown.returncode == 5
    assert odd.returncode == 1
    assert alice.get(f"/instances/{instance}").status_code == 200


def test_a_terminal_is_not_written_to_by_what_platforms_have_sent(osb, platform):
    namespace = an_id()
    odd = f"{namespace}\x1b]0;title\x07"
    platform.ready(order(context={"platform": "kubernetes", "namespace": odd}))

    table = osb("instance", "list", "--search", namespace).stdout

    assert "\x1b" not in table
    assert "\\x1b" in table
