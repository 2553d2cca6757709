"""The controllers and the kubelet that an API server alone lacks, as far as Helm waits for them: jobs and test pods."""

import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.kubernetes.charts import CHART
from tests.kubernetes.control_plane import ApiServer
from tests.kubernetes.pods import PATIENCE, Pod
from tests.needs import the_program


@dataclass
class Cluster:
    """
    A namespace in which hooks are carried out while Helm runs.

    `seen` has, for each hook's pod, what Deployments there were at that moment, by name with the number of their last
    change (`metadata.generation`), and how it ended.
    """

    server: ApiServer
    namespace: str
    folder: Path
    hosts: dict[str, str] = field(default_factory=dict)
    seen: list[tuple[str, dict[str, int], int]] = field(default_factory=list)
    logs: dict[str, str] = field(default_factory=dict)

    def helm(
        self, *arguments: object, values: str | None = None, who: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run Helm to its end, carrying out what it waits for."""
        options = ["--kubeconfig", str(self.server.kubeconfig), "--namespace", self.namespace]
        options += ["--kube-as-user", who] if who else []
        command = [*the_program("helm"), *map(str, arguments), *options]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            told: list[str] = []
            reading = threading.Thread(target=lambda: told.append(process.communicate(values)[0]))
            reading.start()
            until = time.monotonic() + PATIENCE
            while reading.is_alive():
                assert time.monotonic() < until, f"{command} does not end"
                self._carry_out()
                time.sleep(0.1)
            return subprocess.CompletedProcess(command, process.returncode, "".join(told))

    def listed(self, version: str, resource: str) -> list[dict[str, Any]]:
        prefix = "apis" if "/" in version else "api"
        items: list[dict[str, Any]] = self.server.get(
            f"/{prefix}/{version}/namespaces/{self.namespace}/{resource}"
        )["items"]
        return items

    def deployments(self) -> dict[str, int]:
        listed = self.listed("apps/v1", "deployments")
        return {one["metadata"]["name"]: one["metadata"]["generation"] for one in listed}

    def pod(self, deployment: str, number: int = 0) -> Pod:
        """A pod of that Deployment as it is now, not started yet."""
        (found,) = [
            one for one in self.listed("apps/v1", "deployments") if one["metadata"]["name"] == deployment
        ]
        folder = self.folder / f"{deployment}-{number}-{time.monotonic_ns()}"
        return Pod(self.server, self.namespace, found["spec"]["template"], folder, dict(self.hosts))

    def _carry_out(self) -> None:
        base = f"/apis/batch/v1/namespaces/{self.namespace}/jobs"
        for job in self.server.get(base)["items"]:
            if not job["status"].get("conditions"):
                status = self._ended(job["metadata"]["name"], job["spec"]["template"])
                self._tell(f"{base}/{job['metadata']['name']}/status", job_status(done=status == 0))
        base = f"/api/v1/namespaces/{self.namespace}/pods"
        for pod in self.server.get(base)["items"]:
            if pod["status"].get("phase") == "Pending":
                status = self._ended(pod["metadata"]["name"], pod)
                phase = {"status": {"phase": "Failed" if status else "Succeeded"}}
                self._tell(f"{base}/{pod['metadata']['name']}/status", phase)

    def _ended(self, name: str, template: Mapping[str, Any]) -> int:
        before = self.deployments()
        pod = Pod(
            self.server, self.namespace, template, self.folder / f"{name}-{time.monotonic_ns()}", self.hosts
        )
        pod.prepare()
        (container,) = template["spec"]["containers"]
        status = pod.start(container).wait(PATIENCE)
        self.logs[name] = pod.log(container["name"])
        self.seen.append((name, before, status))
        pod.remove()
        return status

    def _tell(self, path: str, status: Mapping[str, Any]) -> None:
        headers = {"Content-Type": "application/merge-patch+json"}
        answer = self.server.client.patch(path, json=status, headers=headers)
        assert answer.is_success or answer.status_code == 404, answer.text


def job_status(*, done: bool) -> dict[str, Any]:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    ends = ("SuccessCriteriaMet", "Complete") if done else ("FailureTarget", "Failed")
    conditions = [
        {"type": end, "status": "True", "reason": "Played", "lastProbeTime": now, "lastTransitionTime": now}
        for end in ends
    ]
    counted = {"succeeded": 1, "completionTime": now} if done else {"failed": 1}
    return {"status": {"startTime": now, "conditions": conditions, **counted}}


def installation(*more: str) -> Sequence[object]:
    return ("broker", CHART, "--values", "-", *more)
