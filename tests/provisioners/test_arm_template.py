"""The generic provisioner against the simulated Azure with real PostgreSQL servers."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import anyio
import psycopg
import pytest

from broker.azure.naming import NameRule, external_name, is_ours, tags
from broker.provisioners.base import Outcome
from tests.provisioners.engine import calls_in, resources_in
from tests.simulated import wait_until

pytestmark = pytest.mark.anyio

SERVERS = "Microsoft.DBforPostgreSQL/flexibleServers"
VERSION = "2026-10-01"


async def signs_in(credentials, azure, **changes):
    parts = {"sslmode": "verify-full", "sslrootcert": azure.access.ca_file, **changes}
    async with await psycopg.AsyncConnection.connect(credentials["uri"], **parts) as connection:
        return await (await connection.execute("SELECT current_user, current_database()")).fetchone()


async def test_an_order_is_created_bound_unbound_and_deleted_and_nothing_is_left(azure, group, order):
    ordered = order(firewallRules=[], extensions=["pg_trgm"])

    created = await ordered.create()
    first, bound = await ordered.bind()
    second, _ = await ordered.bind()

    assert created.outcome is Outcome.DONE, created.description
    assert bound.outcome is Outcome.DONE, bound.description
    record = ordered.instance.record
    credentials = first.credentials
    assert await signs_in(credentials, azure) == (
        record["database"]["owner_role"],
        record["database"]["database"],
    )
    assert {"type", "provider", "host", "hostname", "port", "username", "password"} <= set(credentials)
    assert {"database", "name", "uri", "jdbcUrl", "sslRequired", "tls", "tags", "auth"} <= set(credentials)
    assert first.endpoints == ({"host": credentials["host"], "ports": ["5432"], "protocol": "tcp"},)

    unbound = await ordered.unbind(first)

    assert unbound.outcome is Outcome.DONE
    with pytest.raises(psycopg.OperationalError):
        await signs_in(credentials, azure)
    await signs_in(second.credentials, azure)

    await ordered.unbind(second)
    deleted = await ordered.delete()

    assert deleted.outcome is Outcome.DONE, deleted.description
    assert ordered.living == []
    assert resources_in(azure, group) == []


async def test_each_step_may_be_repeated_and_makes_one_deployment_and_one_login(azure, group, order):
    ordered = order(repeat=True)

    created = await ordered.create()
    binding, _ = await ordered.bind()

    assert created.outcome is Outcome.DONE, created.description
    assert len(calls_in(azure, group, "PUT", "/deployments/")) == 1
    async with await psycopg.AsyncConnection.connect(
        binding.credentials["uri"], sslmode="verify-full", sslrootcert=azure.access.ca_file
    ) as connection:
        found = await connection.execute("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'app%'")
        assert await found.fetchone() == (1,)

    assert (await ordered.unbind(binding)).outcome is Outcome.DONE
    assert (await ordered.delete()).outcome is Outcome.DONE
    assert resources_in(azure, group) == []


async def test_a_database_lives_on_its_parents_server_and_leaves_no_role_there(azure, group, order):
    parent = order("azure-postgresql-server", extensions=["pg_trgm"])
    assert (await parent.create()).outcome is Outcome.DONE
    child, sibling = (
        order("azure-postgresql-database", parent=parent, repeat=True, extensions=extensions)
        for extensions in (["pg_trgm"], [])
    )

    for each in (child, sibling):
        created = await each.create()
        assert created.outcome is Outcome.DONE, created.description
    binding, _ = await child.bind()
    other, _ = await sibling.bind()

    assert await signs_in(binding.credentials, azure)
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        await signs_in(binding.credentials, azure, dbname=other.credentials["database"])

    await child.unbind(binding)
    deleted = await child.delete()

    assert deleted.outcome is Outcome.DONE, deleted.description
    async with await psycopg.AsyncConnection.connect(
        other.credentials["uri"], sslmode="verify-full", sslrootcert=azure.access.ca_file
    ) as connection:
        found = await connection.execute("SELECT rolname FROM pg_roles WHERE rolname ~ '^(app|db)_'")
        roles = {role for (role,) in await found.fetchall()}
    assert roles == {other.credentials["username"], sibling.instance.record["database"]["owner_role"]}

    await parent.delete()


async def test_unbinding_succeeds_when_somebody_deleted_the_server(azure, order):
    ordered = order()
    await ordered.create()
    binding, _ = await ordered.bind()
    azure.call("DELETE", ordered.instance.record["main"]["id"], version=VERSION)

    unbound = await ordered.unbind(binding)
    deleted = await ordered.delete()

    assert unbound.outcome is Outcome.DONE, unbound.description
    assert deleted.outcome is Outcome.DONE, deleted.description


async def test_a_binding_expires_when_its_plan_says_so(azure, order):
    ordered = order()
    await ordered.create()

    binding, _ = await ordered.bind(expires_at=datetime.now(UTC) - timedelta(seconds=1))

    with pytest.raises(psycopg.OperationalError):
        await signs_in(binding.credentials, azure)

    await ordered.delete()


async def test_a_foreign_server_of_the_same_name_is_never_touched(azure, group, order):
    ordered = order()
    rule = ordered.plan.recipe["names"]["server"]
    name = the_name(ordered, rule)
    theirs = f"{azure.subscription}/resourceGroups/{group}/providers/{SERVERS}/{name}"
    azure.plant(id=theirs, tags={"owner": "somebody else"}, location="westeurope", properties={})

    refused = await ordered.create()
    cleaned = await ordered.delete(within=ordered.operation)

    assert refused.outcome is Outcome.FAILED
    assert "is taken" in refused.description
    assert ordered.living == []
    assert cleaned.outcome is Outcome.DONE
    assert resources_in(azure, group) == [theirs]
    assert calls_in(azure, group, "PUT", "/deployments/") == []
    assert calls_in(azure, group, "DELETE") == []


async def test_a_server_that_lost_our_tags_is_not_deleted(azure, group, order):
    ordered = order("azure-postgresql-server")
    await ordered.create()
    main = ordered.instance.record["main"]["id"]
    azure.retag(main, {"owner": "somebody else"})

    refused = await ordered.delete()

    assert refused.outcome is Outcome.FAILED
    assert "operator" in refused.description
    assert main in resources_in(azure, group)


async def test_a_name_taken_elsewhere_in_azure_fails_and_leaves_nothing(azure, group, order):
    ordered = order()
    azure.plant(type=SERVERS, name=the_name(ordered, ordered.plan.recipe["names"]["server"]))

    refused = await ordered.create()
    cleaned = await ordered.delete(within=ordered.operation)

    assert refused.outcome is Outcome.FAILED
    assert cleaned.outcome is Outcome.DONE
    assert resources_in(azure, group) == []


async def test_a_restored_store_finds_what_it_had_made(azure, group, order):
    lost = order()
    await lost.create()
    restored = order(instance_id=lost.instance_id)

    created = await restored.create()
    binding, _ = await restored.bind()

    assert created.outcome is Outcome.DONE, created.description
    assert await signs_in(binding.credentials, azure)
    assert len([r for r in resources_in(azure, group) if r.split("/")[-2] == "flexibleServers"]) == 1

    await restored.delete()


def the_name(ordered, rule):
    made = NameRule(rule["prefix"], rule["max_length"])
    return external_name(made, "broker-under-test", ordered.platform, ordered.instance_id, 0)


async def test_everything_made_carries_four_tags(azure, group, order):
    ordered = order("azure-postgresql-server", tags={"team": "orders", "OSB-Platform": "stolen"})
    await ordered.create()

    found = azure.call("GET", ordered.instance.record["main"]["id"], version=VERSION).json()["tags"]

    assert is_ours(found, tags("broker-under-test", ordered.platform, ordered.instance_id, 0))
    assert found["team"] == "orders"

    await ordered.delete()


async def test_databases_ordered_together_wait_for_their_busy_server(azure, group, order):
    server = order("azure-postgresql-server")
    await server.create()
    children = [order("azure-postgresql-database", parent=server) for _ in range(6)]

    ended = []
    async with anyio.create_task_group() as together:
        for child in children:

            async def create(child=child):
                ended.append(await child.create())

            together.start_soon(create)

    assert [step.outcome for step in ended] == [Outcome.DONE] * 6, [step.description for step in ended]
    assert len([r for r in resources_in(azure, group) if "/databases/" in r]) == 6

    await server.delete()


async def test_a_binding_costs_one_connection_and_no_call_to_azure(azure, order):
    ordered = order()
    await ordered.create()
    before = len(azure.ledger())

    _, bound = await ordered.bind()

    assert bound.outcome is Outcome.DONE
    assert len(azure.ledger()) == before
    assert [phase for method, phase, _ in ordered.steps if method == "bind"] == ["verbs", "verbs"]

    await ordered.delete()


def in_a_group_of_its_own(ordered):
    recipe = {**ordered.plan.recipe, "placement": {"group": "own", "create_group": False}}
    ordered.plan = replace(ordered.plan, recipe=recipe)
    return ordered


async def test_a_group_of_its_own_goes_with_the_instance(azure, order):
    ordered = in_a_group_of_its_own(order("azure-postgresql-server", repeat=True))

    created = await ordered.create()
    own = ordered.instance.record["group"]
    deleted = await ordered.delete()

    assert created.outcome is Outcome.DONE, created.description
    assert deleted.outcome is Outcome.DONE, deleted.description
    assert ordered.living == []
    assert own not in {group["name"] for group in azure.state()["groups"]}


async def test_a_foreign_group_of_the_same_name_is_neither_used_nor_deleted(azure, order):
    expected = in_a_group_of_its_own(order("azure-postgresql-server"))
    await expected.create()
    name = expected.instance.record["group"]
    await expected.delete()
    azure.a_group(name, owner="somebody else")

    again = in_a_group_of_its_own(order("azure-postgresql-server", instance_id=expected.instance_id))
    refused = await again.create()
    cleaned = await again.delete(within=again.operation)

    assert refused.outcome is Outcome.FAILED
    assert cleaned.outcome is Outcome.DONE
    assert name in {group["name"] for group in azure.state()["groups"]}


async def test_a_child_outlives_its_deleted_server_by_one_unbind_and_one_delete(azure, group, order):
    server = order("azure-postgresql-server")
    await server.create()
    child = order("azure-postgresql-database", parent=server)
    await child.create()
    binding, _ = await child.bind()
    azure.call("DELETE", server.instance.record["main"]["id"], version=VERSION)
    azure.clock(advance=3600)
    wait_until(lambda: not resources_in(azure, group))

    unbound = await child.unbind(binding)
    deleted = await child.delete()

    assert unbound.outcome is Outcome.DONE, unbound.description
    assert deleted.outcome is Outcome.DONE, deleted.description
    assert child.living == []


async def test_a_database_on_a_server_that_is_no_longer_its_parents_is_left_alone(azure, group, order):
    server = order("azure-postgresql-server")
    await server.create()
    child = order("azure-postgresql-database", parent=server)
    await child.create()
    azure.retag(server.instance.record["main"]["id"], {})

    refused = await child.delete()

    assert refused.outcome is Outcome.FAILED
    assert child.living[0] in resources_in(azure, group)


async def test_no_database_is_made_on_a_server_that_is_no_longer_its_parents(azure, group, order):
    server = order("azure-postgresql-server")
    await server.create()
    azure.retag(server.instance.record["main"]["id"], {})
    before = resources_in(azure, group)
    puts = calls_in(azure, group, "PUT")

    child = order("azure-postgresql-database", parent=server)
    refused = await child.create()

    assert refused.outcome is Outcome.FAILED
    assert "tags" in refused.description
    assert child.living == []
    assert calls_in(azure, group, "PUT") == puts
    assert resources_in(azure, group) == before


async def test_what_somebody_put_into_a_group_of_its_own_is_not_deleted_with_it(azure, order):
    ordered = in_a_group_of_its_own(order("azure-postgresql-server"))
    await ordered.create()
    main = ordered.instance.record["main"]["id"]
    theirs = main.rsplit("/", 1)[0] + "/somebody-elses"
    azure.plant(id=theirs, tags={"owner": "somebody else"}, location="westeurope", properties={})

    refused = await ordered.delete()

    own = ordered.instance.record["group"]
    assert refused.outcome is Outcome.FAILED
    assert "somebody-elses" in refused.description
    assert resources_in(azure, own) == [theirs]


async def test_an_extension_that_the_server_does_not_allow_is_told(azure, order):
    server = order("azure-postgresql-server", extensions=[])
    await server.create()

    failed = await order("azure-postgresql-database", parent=server, extensions=["pg_trgm"]).create()

    assert failed.outcome is Outcome.FAILED
    assert "pg_trgm" in failed.description

    await server.delete()
