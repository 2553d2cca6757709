"""`make run`: the same parties as in the demo, for somebody who wants to try it by hand."""

from __future__ import annotations

import asyncio
import signal
import sys
from datetime import timedelta
from typing import TYPE_CHECKING

from broker.demo.azure import end_survivors, simulated_azure
from broker.demo.processes import Child, ProcessFailed
from broker.demo.story import NotSeen, migrate
from broker.demo.witnesses import Azure
from broker.demo.workplace import LOCATION, PLATFORM, RESOURCE_GROUP, Workplace

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_BROKER_READY = timedelta(seconds=30)

GUIDE = """\
The broker answers at {url}
Health and metrics:    {health_url}/readyz  {health_url}/metrics
Simulated Azure:       {azure} ({speed:g} times faster than Azure; its certificates: {ca_file})
Its page in a browser: {page} (it asks for what is in {token_file})
Data, secrets, logs:   {folder}

Try next, in another terminal:

  B={url}
  A="demo:$(cat {password_file})"
  V="X-Broker-API-Version: 2.17"

  # What is offered
  curl -s -u "$A" -H "$V" $B/v2/catalog | python3 -m json.tool | less

  # A server with one database: order, look (until "succeeded"), get credentials
  curl -s -u "$A" -H "$V" -X PUT "$B/v2/service_instances/my-db?accepts_incomplete=true" -d '{{
    "service_id": "{service_id}",
    "plan_id": "{plan_id}",
    "organization_guid": "me", "space_guid": "me", "parameters": {{"storageGB": 32}}}}'
  curl -s -u "$A" -H "$V" "$B/v2/service_instances/my-db/last_operation"
  curl -s -u "$A" -H "$V" -X PUT "$B/v2/service_instances/my-db/service_bindings/my-app" -d '{{
    "service_id": "{service_id}",
    "plan_id": "{plan_id}"}}'

  # Connect: put the answer's uri into
  psql "<uri>&sslrootcert={ca_file}"

  # Take it all away again
  Q="service_id={service_id}&plan_id={plan_id}"
  curl -s -u "$A" -H "$V" -X DELETE "$B/v2/service_instances/my-db/service_bindings/my-app?$Q"
  curl -s -u "$A" -H "$V" -X DELETE "$B/v2/service_instances/my-db?accepts_incomplete=true&$Q"

The same from Kubernetes, with Service Catalog and this broker registered as a ClusterServiceBroker:

  apiVersion: servicecatalog.k8s.io/v1beta1
  kind: ServiceInstance
  metadata: {{name: my-db}}
  spec:
    clusterServiceClassExternalName: azure-postgresql
    clusterServicePlanExternalName: {plan}
    parameters: {{storageGB: 32}}
  ---
  apiVersion: servicecatalog.k8s.io/v1beta1
  kind: ServiceBinding
  metadata: {{name: my-app}}
  spec:
    instanceRef: {{name: my-db}}
    secretName: my-db-credentials

Ctrl-C ends it. The broker's data stays in the folder; the simulated Azure forgets everything.
"""


async def stay(folder: Path, environment: Mapping[str, str], *, port: int, speed: float) -> int:
    """Run broker and simulated Azure until SIGINT or SIGTERM; return the exit status."""
    workplace = Workplace(folder.resolve())
    end_survivors(workplace)
    workplace.prepare()
    # The simulated Azure starts empty each time: a store that remembers more than it has would only confuse.
    for left in workplace.folder.glob("broker.sqlite3*"):
        left.unlink()
    ended = asyncio.Event()
    for caught in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(caught, ended.set)
    try:
        async with simulated_azure(workplace, environment, speed=speed, http=True):
            where = workplace.simulated_azure()
            broker = Child(
                name="The broker",
                arguments=["serve", "--ready-file", str(workplace.folder / "broker.json")],
                log=workplace.folder / "broker.log",
                ready_file=workplace.folder / "broker.json",
                environment=workplace.broker_environment(
                    environment,
                    BROKER_PORT=str(port),
                    BROKER_HEALTH_PORT="0",
                    BROKER_AZURE_POLL_INTERVAL="1s",
                ),
            )
            async with Azure(where) as azure:
                await azure.put_group(RESOURCE_GROUP, LOCATION)
            await migrate(workplace, broker.environment)
            told = await broker.start(within=_BROKER_READY)
            try:
                print(await _guide(workplace, told, where, speed), flush=True)
                await ended.wait()
            finally:
                await broker.stop()
    except (ProcessFailed, NotSeen) as failure:
        print(failure, file=sys.stderr)
        return 1
    return 0


async def _guide(workplace: Workplace, told: dict[str, str], where: dict[str, str], speed: float) -> str:
    from broker.demo.platform import Platform

    async with Platform(told["url"], PLATFORM, workplace.password) as platform:
        plan = next(plan for plan in await platform.plans() if plan.offering == "azure-postgresql")
    return GUIDE.format(
        url=told["url"],
        health_url=told["health_url"],
        azure=where["endpoint"],
        ca_file=where["ca_file"],
        page=f"{where['http_endpoint']}/",
        token_file=where["token_file"],
        speed=speed,
        folder=workplace.folder,
        password_file=workplace.password_file,
        service_id=plan.service_id,
        plan_id=plan.plan_id,
        plan=plan.name,
    )
