"""The main job of the broker as a story: each step is done through the public API and seen by somebody else."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sys
import time
import uuid
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from rich.console import Console

from broker.demo import witnesses
from broker.demo.azure import end_survivors, simulated_azure
from broker.demo.platform import Plan, Platform, Refused
from broker.demo.processes import Child, ProcessFailed
from broker.demo.steps import STEPS
from broker.demo.witnesses import Azure
from broker.demo.workplace import BROKER_ID, LOCATION, PLATFORM, RESOURCE_GROUP, Workplace

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
    from pathlib import Path

_BROKER_READY = timedelta(seconds=30)
# At the slowest speed that is offered Azure takes 5 minutes for a server.
_OPERATION_ENDS = timedelta(minutes=10)
# Of Azure's time: ten looks at a server that is created.
_LOOK_AT_AZURE = 30
# What PostgreSQL says of a login that is gone, and of a wrong password.
_NO_LOGIN = "password authentication failed"


class NotSeen(Exception):
    """What should have been seen was not."""


def see(truth: object, otherwise: str) -> None:
    """Go on only if something is true."""
    if not truth:
        raise NotSeen(otherwise)


def _end_of(why: str | None) -> str:
    """Shorten a driver's complaint to the server's own words."""
    return str(why).rpartition("failed: ")[2]


@dataclass
class Story:
    """What the steps share: who takes part, what was ordered and handed out so far."""

    workplace: Workplace
    broker: Child
    azure: Azure
    platform: Platform
    console: Console
    sabotaged: str
    ca_file: str
    environment: Mapping[str, str]
    server_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    database_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    neighbour_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    first_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    second_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    plans: dict[str, Plan] = field(default_factory=dict)
    operation: str = ""
    first: dict[str, Any] = field(default_factory=dict)
    second: dict[str, Any] = field(default_factory=dict)

    def breaks(self, step: str) -> bool:
        """Tell whether this step is to be sabotaged."""
        return self.sabotaged == step

    def say(self, text: str) -> None:
        """Tell something that was seen."""
        self.console.print(f"    {text}", highlight=False, markup=False, soft_wrap=True)

    async def ended(self, instance_id: str, operation: str) -> None:
        """Wait until an operation has succeeded, telling its progress."""
        await self.platform.ended(
            instance_id, operation, within=_OPERATION_ENDS, told=lambda text: self.say(f"| {text}")
        )

    # The steps, in the order of STEPS.

    async def start(self) -> None:
        """Bring up a broker on a fresh store."""
        if not self.breaks("start"):
            await migrate(self.workplace, self.environment)
        where = await self.broker.start(within=_BROKER_READY)
        self.platform.connect(where["url"])
        self.say(f"The broker answers at {where['url']}, the simulated Azure at {self.azure.client.base_url}")

    async def catalog(self) -> None:
        """Read what is offered."""
        if self.breaks("catalog"):
            self.platform.forget_password()
        for plan in await self.platform.plans():
            self.plans.setdefault(plan.offering, plan)
        offered = {"azure-postgresql-server", "azure-postgresql-database", "azure-postgresql"}
        see(offered <= set(self.plans), f"the catalog offers {sorted(self.plans)}, not {sorted(offered)}")
        self.say(f"Offered: {', '.join(sorted(self.plans))}")

    async def server(self) -> None:
        """Order a server and see Azure begin."""
        if self.breaks("server"):
            await self.azure.break_down(
                match={"method": "PUT", "path": "/deployments/"}, kind="error", status=403, code="AuthorizationFailed",
                message="The client is not allowed to do this.", count=None,
            )  # fmt: skip
        self.operation = await self.platform.provision(
            self.server_id, self.plans["azure-postgresql-server"], {"alias": "shared"}
        )
        await self._until_azure_works()
        self.say("Azure has accepted the deployment and works.")

    async def crash(self) -> None:
        """Kill the broker in the middle and see the same operation end."""
        see(await self._server_state() != "Ready", "Azure had finished before the broker could be killed")
        pid = self.broker.pid
        await self.broker.kill()
        self.say(f"Killed the broker (process {pid}, SIGKILL); Azure goes on.")
        if self.breaks("crash"):
            await self.azure.deploy_behind_the_back(RESOURCE_GROUP)
        where = await self.broker.start(within=_BROKER_READY)
        self.platform.connect(where["url"])
        self.say(f"Started it again (process {where['pid']}).")
        await self.ended(self.server_id, self.operation)
        begun = [call for call in await self._deployment_calls() if call["status"] in {200, 201}]
        see(
            len({call["deployment"] for call in begun}) == 1,
            f"the ledger holds other deployments too: {begun}",
        )
        see(len(await self.azure.servers()) == 1, "Azure has not exactly one server")
        self.say(
            f"Azure's ledger: one deployment, {begun[0]['deployment']}; one server, {await self._server_state()}."
        )

    async def database(self) -> None:
        """Order two databases on the server."""
        if self.breaks("database"):
            await self.azure.break_down(
                match={"method": "PUT", "path": "/deployments/"}, kind="deployment_failed", code="InternalServerError",
                message="An unexpected error occurred.", count=None,
            )  # fmt: skip
        plan = self.plans["azure-postgresql-database"]
        ordered = {
            instance_id: await self.platform.provision(instance_id, plan, {"parentAlias": "shared"})
            for instance_id in (self.database_id, self.neighbour_id)
        }
        for instance_id, operation in ordered.items():
            await self.ended(instance_id, operation)
        databases = await self.azure.databases()
        see(len(databases) == 2, f"Azure has the databases {databases}")
        self.say(f"Azure has the databases {', '.join(databases)}.")

    async def bind(self) -> None:
        """Get credentials."""
        parameters = {"superuser": True} if self.breaks("bind") else {}
        status, self.first = await self.platform.bind(
            self.database_id, self.first_id, self.plans["azure-postgresql-database"], parameters
        )
        see(status == 201, f"a new binding is answered with {status}")
        self.say(
            f"Login {self.first['username']} for database {self.first['database']} on {self.first['host']}"
        )

    async def connect(self) -> None:
        """Use the database as an app would."""
        if self.breaks("connect"):
            await self.azure.close_firewall((await self._one_server())["id"])
        async with await witnesses.connected(self.first, self.ca_file) as connection:
            await connection.execute("CREATE TABLE visits (at timestamptz DEFAULT now(), who text)")
            await connection.execute("INSERT INTO visits (who) VALUES ('a newcomer')")
            version = await witnesses.value(connection, "SELECT version()")
            # A login acts as its database's owner, who may not look at the login's own connection.
            await connection.execute("SET ROLE NONE")
            tls = await witnesses.value(
                connection, "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
            )
            superuser = await witnesses.value(
                connection,
                "SELECT rolsuper OR rolcreaterole OR rolcreatedb FROM pg_roles WHERE rolname = session_user",
            )
            databases = await witnesses.value(
                connection, "SELECT count(*) FROM pg_database WHERE datname = current_database()"
            )
        see(tls, "the connection has no TLS")
        see(not superuser, "the login is more than an app's")
        see(databases == 1, "pg_database does not hold the database")
        self.say(
            f"{str(version).partition(' on ')[0]} over {tls}; wrote and read a table; pg_roles: an ordinary login."
        )

    async def refusals(self) -> None:
        """Try what must not work."""
        wrong = self.first["password"] if self.breaks("refusals") else "not-" + self.first["password"]
        other_ca = self.workplace.folder / "other-ca.pem"
        witnesses.write_other_ca(other_ca)
        neighbour = next(name for name in await self.azure.databases() if name != self.first["database"])
        for what, because, attempt in (
            ("a wrong password", _NO_LOGIN, witnesses.refused(self.first, self.ca_file, password=wrong)),
            ("no TLS", "no encryption", witnesses.refused(self.first, self.ca_file, sslmode="disable")),
            ("another CA", "certificate verify failed", witnesses.refused(self.first, str(other_ca))),
            (
                "another database",
                "permission denied for database",
                witnesses.refused(self.first, self.ca_file, database=neighbour),
            ),
        ):
            why = await attempt
            see(why is not None, f"{what} was not refused")
            see(because in str(why), f"{what} was refused, but for another reason: {why}")
            self.say(f"{what}: {_end_of(why)}")

    async def second_binding(self) -> None:
        """Bind again: another login, the same objects."""
        binding_id = self.first_id if self.breaks("second") else self.second_id
        status, self.second = await self.platform.bind(
            self.database_id, binding_id, self.plans["azure-postgresql-database"]
        )
        see(status == 201, f"a new binding is answered with {status}")
        see(self.second["username"] != self.first["username"], "both bindings have one login")
        async with await witnesses.connected(self.second, self.ca_file) as connection:
            visits = await witnesses.value(connection, "SELECT count(*) FROM visits")
        see(visits == 1, "the second login does not see the first one's table")
        self.say(f"Login {self.second['username']} reads what {self.first['username']} wrote.")

    async def unbind(self) -> None:
        """Take the first login away."""
        if not self.breaks("unbind"):
            await self.platform.unbind(
                self.database_id, self.first_id, self.plans["azure-postgresql-database"]
            )
        why = await witnesses.refused(self.first, self.ca_file)
        see(
            _NO_LOGIN in str(why),
            f"the login {self.first['username']} still works, or fails otherwise: {why}",
        )
        async with await witnesses.connected(self.second, self.ca_file) as connection:
            roles = await witnesses.value(
                connection, "SELECT count(*) FROM pg_roles WHERE rolname = %s", self.first["username"]
            )
            visits = await witnesses.value(connection, "SELECT count(*) FROM visits")
        see(roles == 0, f"pg_roles still holds {self.first['username']}")
        see(visits == 1, "what the first login wrote is gone")
        self.say(_end_of(why))
        self.say("pg_roles no longer holds it; the second login works, and the table is still there.")

    async def update(self) -> None:
        """Change a parameter and see it in Azure."""
        if not self.breaks("update"):
            plan = self.plans["azure-postgresql-server"]
            operation = await self.platform.update(self.server_id, plan, {"storageGB": 64})
            await self.ended(self.server_id, operation)
        size = (await self._one_server())["properties"]["storage"]["storageSizeGB"]
        see(size == 64, f"the server in Azure has {size} GB")
        self.say("The server in Azure has 64 GB.")

    async def secrets(self) -> None:
        """Look for passwords where none may be."""
        if self.breaks("secrets"):
            with self.broker.log.open("a", encoding="utf-8") as log:
                log.write(self.second["password"] + "\n")
        dump = witnesses.dumped(self.workplace.database_file)
        see(self.database_id in dump, "the dump of the store is not the store's")
        logs = self.broker.log.read_text(encoding="utf-8", errors="replace")
        for whose in (self.first, self.second):
            for place, text in (("the store", dump), ("the broker's log", logs)):
                see(whose["password"] not in text, f"{place} holds the password of {whose['username']}")
                see(
                    whose["password"].encode().hex() not in text.lower(),
                    f"{place} holds a password in hexadecimal",
                )
        self.say(f"Looked through {len(dump)} characters of the store and {len(logs)} of the log.")

    async def deprovision(self) -> None:
        """Delete everything; a server that still has a database on it is refused at first."""
        refusal = None
        try:
            await self.platform.deprovision(self.server_id, self.plans["azure-postgresql-server"])
        except Refused as answer:
            refusal = answer
        see(refusal is not None and refusal.status == 422, "the server was deleted under its database")
        self.say(f"The server first: {refusal}"[:160])
        database = "azure-postgresql-database"
        wanted = [] if self.breaks("deprovision") else [(self.database_id, database)]
        wanted += [(self.neighbour_id, database), (self.server_id, "azure-postgresql-server")]
        for instance_id, offering in wanted:
            operation = await self.platform.deprovision(instance_id, self.plans[offering])
            await self.ended(instance_id, operation)
        why = await witnesses.refused(self.second, self.ca_file)
        see(why, "the second login outlived its server")

    async def nothing(self) -> None:
        """See that nothing is left."""
        if self.breaks("nothing"):
            await self.azure.plant_ours(RESOURCE_GROUP, BROKER_ID, PLATFORM, self.server_id)
        left = [item["id"] for item in await self.azure.resources()]
        see(not left, f"Azure still holds {left}")
        for table in ("service_instances", "service_bindings", "external_resources"):
            count = witnesses.rows(self.workplace.database_file, table)
            see(count == 0, f"the store still holds {count} rows in {table}")
        status = 0
        with contextlib.suppress(Refused):
            status, _ = await self.platform.ask("GET", f"/v2/service_instances/{self.server_id}")
        see(status == 0, "the broker still shows the server")
        self.say("Azure holds no resource; the store holds no instance, binding or resource.")

    # What the steps ask Azure.

    async def _deployment_calls(self) -> list[dict[str, Any]]:
        return [
            call
            for call in await self.azure.ledger()
            if call["method"] == "PUT" and "/deployments/" in call["path"].lower() and call["deployment"]
        ]

    async def _one_server(self) -> dict[str, Any]:
        servers = await self.azure.servers()
        see(len(servers) == 1, f"Azure has {len(servers)} servers")
        return servers[0]

    async def _server_state(self) -> str:
        servers = await self.azure.servers()
        return str(servers[0].get("properties", {}).get("state", "")) if servers else "not there yet"

    async def _until_azure_works(self) -> None:
        until = time.monotonic() + 30
        while not [call for call in await self._deployment_calls() if call["status"] in {200, 201}]:
            with contextlib.suppress(KeyError):
                _, answer = await self.platform.ask(
                    "GET", f"/v2/service_instances/{self.server_id}/last_operation", operation=self.operation
                )
                see(answer["state"] == "in progress", f"the order ended: {answer.get('description', answer)}")
            see(time.monotonic() < until, "Azure was not asked within 30 s")
            await asyncio.sleep(0.05)


async def tell(
    folder: Path, environment: Mapping[str, str], *, sabotaged: str, speed: float, template: Path | None
) -> int:
    """
    Play all steps in an emptied *folder*; return 0 only if everything was seen.

    Each failure names the step, what was not seen, and where the logs are.
    """
    console = Console(file=sys.stdout)
    began = time.monotonic()
    workplace = Workplace(folder.resolve())
    end_survivors(workplace)
    shutil.rmtree(folder, ignore_errors=True)
    workplace.prepare()
    step = STEPS[0]
    try:
        async with _parties(workplace, environment, sabotaged, speed, template, console) as story:
            acts: dict[str, Callable[[], Awaitable[None]]] = {
                step.name: getattr(story, "second_binding" if step.name == "second" else step.name)
                for step in STEPS
            }
            for number, step in enumerate(STEPS, start=1):
                console.print(
                    f"[bold]{number:2} of {len(STEPS)}  {step.title}[/bold]", highlight=False, soft_wrap=True
                )
                if step.name == sabotaged:
                    console.print(f"    Sabotage: {step.sabotage}", highlight=False)
                await acts[step.name]()
    except (NotSeen, Refused, ProcessFailed, witnesses.DriverError, witnesses.HttpError, OSError) as failure:
        console.print(f"[bold red]Not seen, in step '{step.name}':[/bold red]", highlight=False)
        console.print(
            f"    {type(failure).__name__}: {failure}", highlight=False, markup=False, soft_wrap=True
        )
        console.print(f"    Logs: {workplace.folder}/*.log", highlight=False, markup=False)
        return 1
    if sabotaged:
        console.print(f"[bold red]The sabotage of '{sabotaged}' was not noticed.[/bold red]")
        return 1
    console.print(
        f"[bold green]All {len(STEPS)} steps were seen, in {time.monotonic() - began:.0f} s.[/bold green]"
    )
    return 0


@contextlib.asynccontextmanager
async def _parties(
    workplace: Workplace,
    environment: Mapping[str, str],
    sabotaged: str,
    speed: float,
    template: Path | None,
    console: Console,
) -> AsyncIterator[Story]:
    """Have everybody there who takes part, and nobody left afterwards."""
    async with simulated_azure(workplace, environment, speed=speed, template=template):
        where = workplace.simulated_azure()
        broker = Child(
            name="The broker",
            arguments=["serve", "--ready-file", str(workplace.folder / "broker.json")],
            log=workplace.folder / "broker.log",
            ready_file=workplace.folder / "broker.json",
            environment=workplace.broker_environment(
                environment,
                BROKER_PORT="0",
                BROKER_HEALTH_PORT="0",
                BROKER_AZURE_POLL_INTERVAL=f"{_LOOK_AT_AZURE / speed:.3f}s",
                BROKER_LEASE="4s",
            ),
        )
        try:
            async with Azure(where) as azure, Platform("", PLATFORM, workplace.password) as platform:
                await azure.put_group(RESOURCE_GROUP, LOCATION)
                yield Story(
                    workplace,
                    broker,
                    azure,
                    platform,
                    console,
                    sabotaged,
                    where["ca_file"],
                    broker.environment,
                )
        finally:
            await broker.stop()


async def migrate(workplace: Workplace, environment: Mapping[str, str]) -> None:
    """Run `osb migrate` on the work folder's database."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "broker", "migrate",
        env=dict(environment), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    see(process.returncode == 0, f"osb migrate failed: {output.decode(errors='replace').strip()}")
    (workplace.folder / "migrate.log").write_bytes(output)
