"""The alert rules and the dashboard: well-formed, and about series that a broker at work really has."""

import json
import re
import subprocess
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import pytest
import yaml

from tests.end_to_end.orders import ALL_IN_ONE
from tests.needs import the_program
from tests.osb.platform import an_id
from tests.simulated import wait_until

TOP = Path(__file__).parent.parent.parent
MONITORING = TOP / "charts" / "azure-service-broker" / "files"
RULES_TESTS = TOP / "tests" / "observability" / "alerts_test.yaml"
RUNBOOK = TOP / "docs" / "monitoring.md"
RULES = yaml.safe_load((MONITORING / "alerts.yaml").read_text())["groups"][0]["rules"]
DASHBOARD = json.loads((MONITORING / "dashboard.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUERIES = [rule["expr"] for rule in RULES] + [
    target["expr"] for panel in PANELS for target in panel["targets"]
]
SELECTOR = re.compile(r"\bbroker_[a-z_]+(?:\{[^}]*\})?")


@pytest.mark.needs("promtool")
def test_each_alert_fires_when_it_should_and_not_otherwise():
    said = [*the_program("promtool"), "test", "rules", str(RULES_TESTS)]
    tested = yaml.safe_load(RULES_TESTS.read_text())["tests"]

    ran = subprocess.run(said, capture_output=True, text=True, check=False)

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert {test["name"] for test in tested} == {
        f"{rule['alert']} {how}" for rule in RULES for how in ("fires", "is quiet")
    }


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_each_alert_says_how_bad_it_is_and_where_to_read_what_to_do(rule):
    page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    headings = re.findall(r"^### (\w+)$", RUNBOOK.read_text(), re.MULTILINE)

    assert rule["labels"]["severity"] in {"warning", "critical"}
    assert rule["annotations"]["summary"].endswith(".")
    assert page == "docs/monitoring.md"
    assert anchor == rule["alert"].lower()
    assert rule["alert"] in headings


def test_the_runbook_speaks_of_no_alert_that_there_is_not():
    assert re.findall(r"^### (\w+)$", RUNBOOK.read_text(), re.MULTILINE) == [rule["alert"] for rule in RULES]


def test_the_dashboard_can_be_read_by_somebody_who_did_not_make_it():
    (variable,) = DASHBOARD["templating"]["list"]
    assert (variable["type"], variable["query"]) == ("datasource", "prometheus")
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    for panel in PANELS:
        assert len(panel["description"].split()) > 3, panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == panel["datasource"]["uid"] == "${datasource}"
            assert target["legendFormat"]
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in DASHBOARD["panels"])
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


class Prometheus:
    def __init__(self, url: str) -> None:
        self._url = url

    def ready(self) -> bool:
        try:
            return httpx.get(f"{self._url}/-/ready").status_code == 200
        except httpx.TransportError:
            return False

    def query(self, expression: str) -> list[dict]:
        reply = httpx.get(f"{self._url}/api/v1/query", params={"query": expression})
        assert reply.json()["status"] == "success", f"{expression}: {reply.text}"
        return reply.json()["data"]["result"]


@pytest.fixture
def prometheus(tmp_path, free_tcp_port) -> Iterator:
    """Start a real Prometheus that scrapes a broker twice a second."""
    processes = []

    def start(health_url: str) -> Prometheus:
        config = {
            "global": {"scrape_interval": "500ms", "evaluation_interval": "500ms"},
            "rule_files": [str(MONITORING / "alerts.yaml")],
            "scrape_configs": [
                {
                    "job_name": "azure-service-broker",
                    "static_configs": [{"targets": [health_url.removeprefix("http://")]}],
                }
            ],
        }
        (tmp_path / "prometheus.yaml").write_text(yaml.safe_dump(config))
        command = [
            *the_program("prometheus"),
            f"--config.file={tmp_path / 'prometheus.yaml'}",
            f"--storage.tsdb.path={tmp_path / 'series'}",
            f"--web.listen-address=127.0.0.1:{free_tcp_port}",
        ]
        with (tmp_path / "prometheus.log").open("wb") as output:
            processes.append(subprocess.Popen(command, stdout=output, stderr=output))
        made = Prometheus(f"http://127.0.0.1:{free_tcp_port}")
        wait_until(made.ready, at_most=60)
        return made

    yield start
    for process in processes:
        process.terminate()
        process.wait(30)


@pytest.mark.needs("prometheus")
def test_every_query_is_about_series_that_a_broker_at_work_has(sqlite_world, prometheus):
    world = sqlite_world
    deployments = f"/{world.group}/.*/deployments/"
    broker = world.start()
    scraped = prometheus(broker.health_url)
    platform = broker.platform

    for kind, options in (
        ("error", {"status": 403, "code": "AuthorizationFailed"}),
        ("throttle", {"retry_after": 1}),
        ("reset", {}),
        ("error", {"status": 500}),
    ):
        world.azure.fault(kind, method="GET", path=deployments, **options)
    good = platform.ready(ALL_IN_ONE.order())
    world.azure.fault(
        "deployment_failed",
        method="PUT",
        path=deployments,
        code="SkuNotAvailable",
        message="Sold out.",
        after=0,
    )
    failed = an_id()
    platform.provision(failed, ALL_IN_ONE.order())
    assert platform.settle(failed).json()["state"] == "failed"
    assert platform.request("GET", "/v2/catalog").status_code == 200
    # Counted every half minute, the first time at the start: until then a gauge says what was true then.
    wait_until(lambda: scraped.query('broker_operations_finished_total{state="failed"}'), at_most=30)

    missing = set()
    for query in QUERIES:
        scraped.query(query)
        for selector in SELECTOR.findall(query):
            if not scraped.query(selector):
                missing.add(selector)
    # A broker that is well answers nothing with 5xx, and has nothing in progress once all has ended.
    assert missing <= {'broker_requests_total{status=~"5.."}', "broker_operations_in_progress"}
    firing = {one["metric"]["alertname"] for one in scraped.query('ALERTS{alertstate="firing"}')}
    assert firing <= {"BrokerOperationsFail", "BrokerAzureRefuses"}
    platform.gone(good, ALL_IN_ONE.plan_id, ALL_IN_ONE.service_id)
    broker.stop()
    wait_until(lambda: scraped.query("absent(broker_catalog_revision)"), at_most=30)


def test_each_line_of_a_log_is_one_object_that_any_collector_reads(sqlite_world):
    world = sqlite_world
    deployments = f"/{world.group}/.*/deployments/"
    world.azure.fault("error", method="GET", path=deployments, status=500, message="One\nline,\nand more.")
    with world.serving() as platform:
        platform.gone(platform.ready(ALL_IN_ONE.order()), ALL_IN_ONE.plan_id, ALL_IN_ONE.service_id)

    lines = world.log.read_text(encoding="utf-8").splitlines()
    read = [json.loads(line, parse_constant=pytest.fail) for line in lines]
    assert len(read) > 20
    for one in read:
        assert one["level"] in {"debug", "info", "warning", "error", "critical"}
        assert datetime.fromisoformat(one["timestamp"]).utcoffset() == timedelta(0)
        assert one["event"]
        assert one["logger"]
    carried = [one for one in read if one["event"] == "Operation has ended."]
    assert {"operation", "instance", "kind", "status", "description"} <= carried[0].keys()
    assert any(one["logger"].startswith("uvicorn") for one in read)
