"""The wheel, installed into an environment of its own outside the checkout, does what it should."""

import base64
import json
import os
import secrets
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import httpx

TOP = Path(__file__).parent.parent

# Two imports of everything and a migration of an empty file: seconds, also on a busy machine.
READY_WITHIN = 60


def osb(installed, *arguments, cwd, **settings):
    return subprocess.Popen(
        [installed / "bin" / "osb", *arguments],
        cwd=cwd,
        env={
            "PATH": os.environ["PATH"],
            **{f"BROKER_{name}": str(value) for name, value in settings.items()},
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def done(process):
    output, _ = process.communicate(timeout=READY_WITHIN)
    assert process.returncode == 0, output
    return output


def test_the_wheel_carries_migrations_and_catalog(wheel):
    names = zipfile.ZipFile(wheel).namelist()

    assert "broker/_shipped/migrations/env.py" in names
    assert any(name.startswith("broker/_shipped/catalog/postgresql/") for name in names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if name.startswith(("tests/", "bench/")) or "__pycache__" in name]


def test_the_installed_broker_is_not_the_checkout(installed, tmp_path):
    where = subprocess.run(
        [installed / "bin" / "python", "-c", "import broker; print(broker.__file__)"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )

    assert where.stdout.startswith(str(installed))


def test_an_installed_broker_migrates_serves_and_stops(installed, tmp_path):
    password = secrets.token_urlsafe(24)
    (tmp_path / "token").write_text(secrets.token_urlsafe(24))
    settings = {
        "DATABASE_URL": f"sqlite:///{tmp_path}/broker.sqlite3",
        "BROKER_ID": "packaged",
        "PLATFORMS": json.dumps({"cluster": {"username": "svcat", "passwords": [password]}}),
        "SEALING_KEYS": "k1:" + base64.b64encode(secrets.token_bytes(32)).decode(),
        "PORT": 0,
        "HEALTH_PORT": 0,
        "AZURE_CLOUD": "custom",
        "AZURE_ENDPOINT": "https://127.0.0.1:9",
        "AZURE_SCOPE": "https://127.0.0.1:9/.default",
        "AZURE_AUTHORITY": "https://127.0.0.1:9",
        "AZURE_AUTHENTICATION": "simulator",
        "AZURE_TOKEN_FILE": tmp_path / "token",
        "AZURE_SUBSCRIPTION_ID": "3f0c1c3e-2b8e-4f2a-9d53-0f3a5e3b7b11",
        "AZURE_LOCATION": "westeurope",
        "AZURE_RESOURCE_GROUP": "shared",
    }

    migrated = done(osb(installed, "migrate", cwd=tmp_path, DATABASE_URL=settings["DATABASE_URL"]))
    assert "revision" in migrated
    checked = done(osb(installed, "config", "check", cwd=tmp_path, **settings))
    assert "cluster" in checked
    assert password not in checked
    assert "azure-postgresql" in done(osb(installed, "catalog", "check", cwd=tmp_path))

    broker = osb(installed, "serve", "--ready-file", "ready.json", cwd=tmp_path, **settings)
    try:
        where = ready(broker, tmp_path / "ready.json")
        answer = httpx.get(
            where["url"] + "/v2/catalog", auth=("svcat", password), headers={"X-Broker-API-Version": "2.17"}
        )
        assert answer.status_code == 200
        assert {"azure-postgresql"} <= {offering["name"] for offering in answer.json()["services"]}
        assert httpx.get(where["url"] + "/v2/catalog").status_code == 401
        assert httpx.get(where["health_url"] + "/readyz").status_code == 200
        assert "broker_requests_total" in httpx.get(where["health_url"] + "/metrics").text
    finally:
        broker.send_signal(signal.SIGTERM)
        output, _ = broker.communicate(timeout=READY_WITHIN)

    assert broker.returncode == 0, output
    assert password not in output


def ready(broker, file):
    until = time.monotonic() + READY_WITHIN
    while not file.exists():
        assert broker.poll() is None, broker.communicate()[0]
        assert time.monotonic() < until, "not ready in time"
        time.sleep(0.02)
    return json.loads(file.read_text())


def test_a_database_that_was_not_migrated_stops_the_start_with_one_line(installed, tmp_path):
    (tmp_path / "token").write_text(secrets.token_urlsafe(24))

    broker = osb(
        installed, "serve", cwd=tmp_path, DATABASE_URL=f"sqlite:///{tmp_path}/empty.sqlite3", BROKER_ID="packaged",
        PLATFORMS=json.dumps({"cluster": {"bearer_tokens": [secrets.token_urlsafe(24)]}}), PORT=0, HEALTH_PORT=0,
        SEALING_KEYS="k1:" + base64.b64encode(secrets.token_bytes(32)).decode(),
        AZURE_AUTHENTICATION="managed-identity", AZURE_LOCATION="westeurope",
        AZURE_SUBSCRIPTION_ID="3f0c1c3e-2b8e-4f2a-9d53-0f3a5e3b7b11",
    )  # fmt: skip
    output, _ = broker.communicate(timeout=READY_WITHIN)

    assert broker.returncode == 1
    assert "osb migrate" in output.splitlines()[-1]
    assert "Traceback" not in output


def test_the_command_line_answers_without_loading_the_server():
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, broker.cli.main; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        cwd=TOP,
    ).stdout.split()

    assert not {"fastapi", "sqlalchemy", "azure", "psycopg", "uvicorn", "pydantic"} & set(loaded)
