"""The simulator's web page: who may load it and what it may do, by HTTP and in a real browser."""

import json
import os
import re
import subprocess
import uuid
from pathlib import Path

import httpx
import pytest

from broker.simulator.page.files import ADDRESS, FILES, FOLDER
from tests.clients.scripts import a_script, an_environment
from tests.needs import the_program
from tests.simulated import POSTGRES, StandInDatabases, a_simulator, wait_until
from tests.simulator.templates import SERVERS, deployment_body

HOSTILE = '<img src=x onerror="alert(1)">'


@pytest.fixture
def stranger(simulator):
    with httpx.Client(base_url=simulator.endpoint, verify=False, trust_env=False) as client:
        yield client


def test_the_root_leads_a_browser_to_the_page(stranger):
    reply = stranger.get("/")

    assert (reply.status_code, reply.headers["location"]) == (303, ADDRESS)


@pytest.mark.parametrize("path", FILES)
def test_every_file_of_the_page_comes_with_a_policy_that_allows_its_own_files_alone(stranger, path):
    reply = stranger.get(path)
    policy = dict(part.split(" ", 1) for part in reply.headers["content-security-policy"].split("; "))

    assert reply.status_code == 200
    assert policy["default-src"] == "'none'"
    assert {policy["script-src"], policy["style-src"], policy["connect-src"]} == {"'self'"}
    assert policy["frame-ancestors"] == policy["form-action"] == policy["base-uri"] == "'none'"
    assert policy["require-trusted-types-for"] == "'script'"
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert "access-control-allow-origin" not in reply.headers
    assert "set-cookie" not in reply.headers


def test_the_page_holds_no_data_no_inline_code_and_no_address_of_elsewhere():
    markup, script = (FOLDER / "page.html").read_text(), (FOLDER / "page.js").read_text()
    styles = (FOLDER / "page.css").read_text()

    assert not re.search(r"<(script|style)>|\son\w+=|\sstyle=|javascript:", markup)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|Function\(", script)
    assert not re.search(r"https?://|//[a-z]+\.", markup + script + styles)


def test_every_file_that_the_page_asks_for_is_there_and_no_other():
    asked = set(re.findall(r'(?:src|href)="(/[^"]+)"', (FOLDER / "page.html").read_text()))

    assert asked | {ADDRESS} == set(FILES)
    assert {name for name, _ in FILES.values()} == {
        file.name for file in FOLDER.iterdir() if file.suffix not in {"", ".py"}
    }


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/_simulator/state"),
        ("GET", "/_simulator/ledger"),
        ("GET", "/_simulator/operations?deployment=x"),
        ("GET", "/_simulator/sign-ins"),
        ("POST", "/_simulator/faults"),
        ("DELETE", "/_simulator/faults"),
        ("POST", "/_simulator/clock"),
        ("POST", ADDRESS),
    ],
)
def test_without_the_token_nothing_is_shown_and_nothing_changed(simulator, stranger, method, path):
    fault = simulator.fault("slow", path="/never$")

    replies = [
        stranger.request(method, path, json={"kind": "reset"}),
        stranger.request(method, path, json={}, headers={"Authorization": "Bearer guessed"}),
        stranger.request(method, path, json={}, headers={"Cookie": f"token={simulator.access.token}"}),
        stranger.request(method, path, json={}, params={"token": simulator.access.token}),
    ]

    assert {reply.status_code for reply in replies} == {401}
    assert [one["id"] for one in simulator.client.get("/_simulator/faults").json()["faults"]] == [fault]


def test_another_sites_page_gets_no_leave_to_call(simulator):
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "DELETE"}

    reply = simulator.client.options("/_simulator/faults", headers=asked)

    assert reply.status_code >= 400
    assert "access-control-allow-origin" not in reply.headers


def test_what_a_fault_may_be_told_is_told_to_the_form(simulator):
    kinds = simulator.client.get("/_simulator/faults").json()["kinds"]

    assert kinds["throttle"] == {"options": ["retry_after"], "methods": []}
    assert kinds["delete_refused"]["methods"] == ["DELETE"]


def test_the_last_calls_can_be_had_alone(tmp_path):
    with a_simulator(tmp_path, data_planes=False) as quiet:
        for number in range(5):
            quiet.call("GET", f"/resourceGroups/nobodys-{number}")

        def told(**asked):
            return quiet.client.get("/_simulator/ledger", params=asked)

        last = told(last=2).json()["calls"]
        after = told(after=last[0]["sequence"], last=9).json()["calls"]
        wrong = told(last="few")

    assert [call["path"][-1] for call in last] == ["3", "4"]
    assert [call["path"][-1] for call in after] == ["4"]
    assert wrong.status_code == 400


def test_a_deployments_operations_can_be_read_without_a_call_to_azure(simulator):
    group = simulator.a_group()
    path = f"/resourceGroups/{group}/providers/Microsoft.Resources/deployments/first"
    made = simulator.call("PUT", path, deployment_body(f"srv-{uuid.uuid4().hex[:8]}")).json()
    before = len(simulator.ledger())

    def operations():
        asked = {"deployment": made["id"].upper()}
        return simulator.client.get("/_simulator/operations", params=asked).json()["value"]

    assert wait_until(operations)[0]["id"].startswith(made["id"])
    assert len(simulator.ledger()) == before


@pytest.mark.slow
@pytest.mark.needs("playwright", "chromium")
def test_a_person_looks_arms_a_fault_and_lifts_it_in_a_browser(tmp_path):
    folder = Path(os.environ.get("TEST_SCREENSHOTS") or tmp_path)
    with a_simulator(tmp_path / "azure", StandInDatabases(), http=True) as simulator:
        group = simulator.a_group("pages", hostile=HOSTILE)
        name = f"srv-{uuid.uuid4().hex[:8]}"
        path = f"/resourceGroups/{group}/providers/Microsoft.Resources/deployments/first"
        simulator.call("PUT", path, deployment_body(name, tags={"note": HOSTILE}))
        server = f"/resourceGroups/{group}/providers/{SERVERS}/{name}"
        wait_until(lambda: simulator.call("GET", server, version=POSTGRES).json().get("tags"))
        planted = (
            f"{simulator.subscription}/resourceGroups/{group}/providers/{SERVERS}/{HOSTILE.replace('/', '')}"
        )
        simulator.plant(id=planted, location="westeurope", tags={"note": HOSTILE})
        link = f"{simulator.access.http_endpoint}{ADDRESS}#token={simulator.access.token}"

        looked = subprocess.run(
            [*a_script("playwright", "look.cjs"), *the_program("chromium"), link, str(folder), HOSTILE],
            env=an_environment("playwright", HOME=str(tmp_path)),
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    assert looked.returncode == 0, looked.stderr
    seen = json.loads(looked.stdout)
    assert (seen["faults"], seen["foreign"], seen["dialogs"], seen["unnamed"]) == ([], [], 0, [])
    assert (seen["asksToSignIn"], seen["contentBefore"]) == (True, False)
    assert "token" not in seen["address"]
    assert seen["hostile"].startswith(HOSTILE)
    assert seen["hostileTags"] == f"note={HOSTILE}"
    assert seen["injected"] == 0
    assert seen["operations"] == 3
    assert seen["outcome"] == "Fault 1 (throttle) is armed."
    assert seen["struck"] == [429, "7"]
    assert "429" in seen["call"]
    assert seen["refusal"].startswith("Not done: Path is no regular expression")
    assert seen["scrollsSideways"] is False
    assert seen["leftBehind"] == [0, 0]
