"""`osb serve` and `osb run-operations` as processes: how they start, refuse to start, and end."""

import base64
import json
import os
import secrets
import signal
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from broker.simulator.certificates import CertificateAuthority
from tests.simulated import wait_until

TOP = Path(__file__).parent.parent.parent
# Imports, a migration, a simulated Azure: seconds, on a busy machine too.
WITHIN = 60


@pytest.fixture
def settings(tmp_path):
    """What a broker needs, on SQLite, with an Azure that nobody has to answer for."""
    (tmp_path / "token").write_text(secrets.token_urlsafe(24))
    return {
        "DATABASE_URL": f"sqlite:///{tmp_path}/broker.sqlite3",
        "BROKER_ID": "served",
        "PLATFORMS": json.dumps({"cluster": {"bearer_tokens": [secrets.token_urlsafe(24)]}}),
        "SEALING_KEYS": "k1:" + base64.b64encode(secrets.token_bytes(32)).decode(),
        "PORT": "0",
        "HEALTH_PORT": "0",
        "AZURE_AUTHENTICATION": "managed-identity",
        "AZURE_SUBSCRIPTION_ID": "3f0c1c3e-2b8e-4f2a-9d53-0f3a5e3b7b11",
        "AZURE_LOCATION": "westeurope",
    }


@pytest.fixture
def osb(tmp_path):
    """Start `osb` with settings; whatever still runs at the end is ended."""
    started = []

    def start(*arguments, **settings):
        process = subprocess.Popen(
            [sys.executable, "-m", "broker", *arguments],
            cwd=TOP,
            env={
                "PATH": os.environ["PATH"],
                **{f"BROKER_{name}": str(value) for name, value in settings.items()},
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def migrated(osb, settings):
    process = osb("migrate", DATABASE_URL=settings["DATABASE_URL"])
    output, _ = process.communicate(timeout=WITHIN)
    assert process.returncode == 0, output


def ready(process, file):
    until = time.monotonic() + WITHIN
    while not file.exists():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < until, "not ready in time"
        time.sleep(0.02)
    return json.loads(file.read_text())


def ended(process):
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=WITHIN)
    return process.returncode, output


def refused(process):
    output, _ = process.communicate(timeout=WITHIN)
    assert process.returncode != 0
    assert "Traceback" not in output
    return output.splitlines()


def token_of(settings):
    return json.loads(settings["PLATFORMS"])["cluster"]["bearer_tokens"][0]


def catalog(url, settings, **more):
    headers = {"X-Broker-API-Version": "2.17", "Authorization": f"Bearer {token_of(settings)}"}
    return httpx.get(url + "/v2/catalog", headers=headers, **more)


def test_platforms_are_served_over_tls_when_there_is_a_certificate(osb, settings, tmp_path):
    authority = CertificateAuthority()
    issued = authority.issue("127.0.0.1")
    (tmp_path / "ca.pem").write_bytes(authority.certificate_pem)
    (tmp_path / "tls.crt").write_bytes(issued.certificate_pem)
    (tmp_path / "tls.key").write_bytes(issued.key_pem)
    migrated(osb, settings)

    broker = osb(
        "serve", "--ready-file", tmp_path / "ready", TLS_CERTIFICATE_FILE=tmp_path / "tls.crt",
        TLS_KEY_FILE=tmp_path / "tls.key", **settings,
    )  # fmt: skip
    where = ready(broker, tmp_path / "ready")

    assert where["url"].startswith("https://")
    trust = ssl.create_default_context(cafile=tmp_path / "ca.pem")
    assert catalog(where["url"], settings, verify=trust).status_code == 200
    # Nobody was named an operator: there is no admin API, and what is asked of it is a platform's to ask.
    assert where["admin_url"] is None
    asked = httpx.get(where["url"] + "/admin/v1/instances", verify=trust)
    assert (asked.status_code, asked.headers["www-authenticate"].split()[0]) == (401, "Basic")
    with pytest.raises(httpx.ConnectError):
        catalog(where["url"], settings)
    assert httpx.get(where["health_url"] + "/healthz").status_code == 200
    assert ended(broker)[0] == 0


def test_operators_trust_an_authority_of_their_own_only_if_they_name_it(osb, settings, tmp_path):
    authority = CertificateAuthority()
    issued = authority.issue("127.0.0.1")
    (tmp_path / "ca.pem").write_bytes(authority.certificate_pem)
    (tmp_path / "tls.crt").write_bytes(issued.certificate_pem)
    (tmp_path / "tls.key").write_bytes(issued.key_pem)
    (tmp_path / "token").write_text(secrets.token_hex(32))
    token = (tmp_path / "token").read_text()
    migrated(osb, settings)
    broker = osb(
        "serve", "--ready-file", tmp_path / "ready", TLS_CERTIFICATE_FILE=tmp_path / "tls.crt",
        TLS_KEY_FILE=tmp_path / "tls.key", ADMIN_PORT="0",
        OPERATORS=json.dumps({"alice": {"role": "read", "tokens": [token]}}), **settings,
    )  # fmt: skip
    where = ready(broker, tmp_path / "ready")

    def listed(**environment):
        return subprocess.run(
            [sys.executable, "-m", "broker", "instance", "list", "-o", "json"],
            cwd=TOP,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(tmp_path),
                "OSB_URL": where["admin_url"],
                "OSB_TOKEN_FILE": str(tmp_path / "token"),
                **environment,
            },
            capture_output=True,
            text=True,
            timeout=WITHIN,
            check=False,
        )

    trusting, distrusting = listed(OSB_CA_FILE=str(tmp_path / "ca.pem")), listed()

    assert where["admin_url"].startswith("https://")
    assert (trusting.returncode, trusting.stdout) == (0, "[]\n"), trusting.stderr
    assert distrusting.returncode == 3
    assert "does not prove who it is" in distrusting.stderr
    assert ended(broker)[0] == 0


def test_a_broker_that_nobody_may_ask_is_not_started(osb, settings):
    lines = refused(osb("serve", **settings | {"PLATFORMS": ""}))

    assert lines == ["BROKER_PLATFORMS: is needed to serve: without it nobody can ask for anything"]


def test_a_port_that_is_taken_is_named(osb, settings):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        lines = refused(osb("serve", **settings | {"PORT": str(taken.getsockname()[1])}))

    assert lines[0].startswith("BROKER_PORT: cannot listen on 127.0.0.1 port ")


def test_a_second_broker_on_one_sqlite_file_is_refused(osb, settings, tmp_path):
    migrated(osb, settings)
    first = osb("serve", "--ready-file", tmp_path / "ready", **settings)
    ready(first, tmp_path / "ready")

    lines = refused(osb("serve", **settings))

    assert "SQLite serves one process" in lines[-1]
    assert ended(first)[0] == 0


def test_a_database_that_is_away_at_the_start_ends_it_in_one_line(osb, settings):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        nowhere = f"postgresql://127.0.0.1:{held.getsockname()[1]}/broker"
        lines = refused(osb("serve", **{**settings, "DATABASE_URL": nowhere}))

    assert "The broker's database does not answer" in lines[-1]
    assert "Traceback" not in "".join(lines)


def test_the_api_and_the_operations_can_be_two_processes_on_postgresql(
    osb, settings, tmp_path, fresh_database
):
    url = fresh_database()
    settings = settings | {"DATABASE_URL": url if isinstance(url, str) else str(url)}
    migrated(osb, settings)

    serving = osb("serve", "--no-runner", "--ready-file", tmp_path / "api", **settings)
    working = osb("run-operations", "--ready-file", tmp_path / "runner", **settings | {"PLATFORMS": ""})
    api, runner = ready(serving, tmp_path / "api"), ready(working, tmp_path / "runner")

    assert catalog(api["url"], settings).status_code == 200
    assert runner["url"] is None
    for where in (api, runner):
        assert httpx.get(where["health_url"] + "/readyz").status_code == 200
    for process in (serving, working):
        status, output = ended(process)
        assert status == 0, output


def test_a_simulated_azure_comes_and_goes_with_the_broker(osb, settings, tmp_path):
    kept = {name: value for name, value in settings.items() if not name.startswith("AZURE_")}
    migrated(osb, settings)

    broker = osb(
        "serve", "--simulate-azure", "--work", tmp_path / "work", "--ready-file", tmp_path / "ready",
        AZURE_LOCATION="westeurope", **kept,
    )  # fmt: skip
    where = ready(broker, tmp_path / "ready")
    azure = json.loads((tmp_path / "work" / "azure" / "simulator.json").read_text())

    assert catalog(where["url"], settings).status_code == 200
    assert Path(f"/proc/{azure['pid']}").exists()
    status, output = ended(broker)
    assert status == 0, output
    assert not Path(f"/proc/{azure['pid']}").exists()


def test_a_process_that_is_to_stop_says_so_first_and_serves_on(osb, settings, tmp_path):
    migrated(osb, settings)
    broker = osb("serve", "--ready-file", tmp_path / "ready", **settings | {"STOP_AFTER": "60s"})
    where = ready(broker, tmp_path / "ready")
    headers = {"X-Broker-API-Version": "2.17", "Authorization": f"Bearer {token_of(settings)}"}
    with httpx.Client(headers=headers) as connected:
        before = connected.get(where["url"] + "/v2/catalog")
        broker.send_signal(signal.SIGTERM)
        refusal = wait_until(
            lambda: (seen := httpx.get(where["health_url"] + "/readyz")).status_code == 503 and seen
        )
        kept = connected.get(where["url"] + "/v2/catalog")
        anew = catalog(where["url"], settings)

    assert (refusal.json()["checks"]["process"], broker.poll()) == ("it is about to stop", None)
    assert httpx.get(where["health_url"] + "/healthz").status_code == 200
    assert "connection" not in before.headers
    assert [(each.status_code, each.headers["connection"]) for each in (kept, anew)] == [(200, "close")] * 2
    # Who does not want to wait asks once more.
    status, output = ended(broker)
    assert status == 0, output


def test_settings_that_are_wrong_are_all_named_at_once(osb, settings):
    lines = refused(osb("serve", **settings | {"PORT": "high", "LEASE": "0s", "SEALING_KEYS": "k:short"}))

    assert sorted(line.split(":")[0] for line in lines) == [
        "BROKER_LEASE",
        "BROKER_PORT",
        "BROKER_SEALING_KEYS",
    ]


def test_operators_have_a_port_of_their_own_if_they_want_one(osb, settings, tmp_path):
    token = secrets.token_hex(32)
    operators = json.dumps({"alice": {"role": "read", "tokens": [token]}})
    migrated(osb, settings)

    def asked(url):
        return httpx.get(
            url + "/admin/v1/instances", headers={"Authorization": f"Bearer {token}"}
        ).status_code

    apart = osb("serve", "--ready-file", tmp_path / "1", OPERATORS=operators, ADMIN_PORT="0", **settings)
    where = ready(apart, tmp_path / "1")
    assert where["admin_url"] not in {where["url"], where["health_url"]}
    assert (asked(where["admin_url"]), asked(where["url"])) == (200, 401)
    assert catalog(where["admin_url"], settings).status_code == 401
    # Who is refused there leaves a trace, but not what he has shown.
    counted = 'broker_requests_total{method="GET",route="/admin/v1/other",status="401"} 1.0'
    assert counted in httpx.get(where["health_url"] + "/metrics").text
    status, output = ended(apart)
    assert status == 0
    (line,) = [json.loads(line) for line in output.splitlines() if "An operator's token was refused." in line]
    assert (line["address"], line["given"]) == ("127.0.0.1", True)
    assert token_of(settings) not in output

    beside = osb("serve", "--ready-file", tmp_path / "2", OPERATORS=operators, **settings)
    where = ready(beside, tmp_path / "2")
    assert where["admin_url"] == where["url"]
    assert (asked(where["url"]), catalog(where["url"], settings).status_code) == (200, 200)
    assert ended(beside)[0] == 0


def test_tenant_rules_that_are_wrong_refuse_the_start_with_the_line_at_fault(osb, settings, tmp_path):
    (tmp_path / "rules.yaml").write_text("rules:\n  - name: one\n    when: {view: none}\n")
    migrated(osb, settings)

    lines = refused(osb("serve", TENANT_RULES=tmp_path / "rules.yaml", **settings))

    fault = (
        "rules.yaml:3: rules[0].when.view: can never match: 'none' is no view of this file; known are: none"
    )
    assert lines[-1] == fault
