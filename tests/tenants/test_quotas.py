"""Quotas: counted under a lock in the transaction that accepts an order, so that two never take the last one both."""

import asyncio
import secrets
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from broker.domain.instances import Context
from broker.domain.requests import Caller, ProvisionRequest
from broker.domain.tenant_rules import Rule
from broker.errors import QuotaUsedUp
from broker.lifecycle.instances import Accepted, Instances
from broker.lifecycle.options import LifecycleOptions
from broker.store.database import Database
from tests.osb.offerings import LARGE, PLAIN, PLAIN_SERVICE, SERVICE, SMALL
from tests.tenants.conftest import Table
from tests.tenants.tables import cloud_foundry, kubernetes, quota, rules, when

pytestmark = pytest.mark.anyio

PAY, WEB = kubernetes("pay"), kubernetes("web")
PARALLEL = 50


async def refused(order):
    with pytest.raises(QuotaUsedUp) as refusal:
        await order
    return refusal.value


async def test_a_used_up_quota_is_refused_with_its_own_word_and_says_whom_to_ask(desk):
    desk.table.says(Rule("all", quotas=(quota(1, "namespace", "kept-things", ask="the data team"),)))
    await desk.ready("a", context=PAY)

    refusal = await refused(desk.order("b", context=PAY))

    assert (refusal.status, refusal.code) == (422, "QuotaUsedUp")
    assert refusal.description == (
        "The quota 'things' of namespace 'pay' is used up: 1 of 1 service instances of kept-things are there already. "
        "Delete one that is no longer needed, or ask the data team for more, and repeat the order."
    )


async def test_the_same_order_goes_through_once_something_was_deleted(desk):
    desk.table.says(Rule("all", quotas=(quota(1, "namespace"),)))
    await desk.ready("a", context=PAY)
    await refused(desk.order("b", context=PAY))

    await desk.gone("a")

    await desk.ready("b", context=PAY)


async def test_what_failed_or_is_being_deleted_counts_until_it_is_gone(desk):
    desk.table.says(Rule("all", quotas=(quota(1, "namespace"),)))
    desk.external.fail("a", "create")
    await desk.order("a", context=PAY)
    assert (await desk.ended("a")).state == "failed"
    await refused(desk.order("b", context=PAY))
    with desk.external.holding("a", "delete"):
        await desk.delete("a")

        await refused(desk.order("b", context=PAY))


@pytest.mark.parametrize(
    ("per", "same", "other"),
    [
        ("namespace", kubernetes("pay"), kubernetes("web")),
        ("namespace", kubernetes("pay"), kubernetes("pay", cluster="c2")),
        ("cluster", kubernetes("web"), kubernetes("pay", cluster="c2")),
        ("platform", kubernetes("web", cluster="c2"), None),
        ("rule", kubernetes("pay", cluster="c2"), kubernetes("web")),
    ],
)
async def test_a_quota_counts_within_its_scope_alone(desk, per, same, other):
    desk.table.says(Rule("pay", when(namespace="pay*") if per == "rule" else when(), quotas=(quota(1, per),)))
    await desk.ready("a", context=PAY)

    await refused(desk.order("b", context=same))
    accepted = await desk.order("c", context=other) if other else await desk.of("k8s").order("c", context=PAY)

    assert isinstance(accepted, Accepted)


async def test_the_made_up_organization_of_service_catalog_takes_nobody_out_of_a_quota(desk):
    desk.table.says(Rule("all", quotas=(quota(1, "organization"),)))
    made_up = replace(PAY, organization="c1", space="7d0f")
    await desk.ready("a", context=made_up)

    await refused(desk.order("b", context=replace(WEB, organization="c1", space="9e21")))
    await desk.ready("c", context=cloud_foundry("c1", "s"))
    refusal = await refused(desk.order("d", context=cloud_foundry("c1", "t")))

    assert "1 of 1" in refusal.description


async def test_a_quota_of_a_rule_counts_by_all_that_the_rule_asks_for(desk):
    gold = kubernetes("pay", namespace_annotations={"tier": "gold"})
    desk.table.says(
        Rule("gold", when(**{"namespace_annotations.tier": "gold"}), quotas=(quota(1, "rule", rule="gold"),))
    )
    await desk.ready("a", context=PAY)
    await desk.ready("b", context=gold)

    await refused(desk.order("c", context=gold))
    await desk.ready("d", context=PAY)


async def test_plans_that_a_quota_does_not_name_are_not_counted(desk):
    desk.table.says(Rule("all", quotas=(quota(1, "platform", "*/small"),)))
    await desk.ready("a", plan=SMALL)

    await desk.ready("b", plan=LARGE)
    await desk.ready("c", service=PLAIN_SERVICE, plan=PLAIN)
    await refused(desk.order("d", plan=SMALL))


async def test_a_repeated_order_is_not_counted_twice(desk):
    desk.table.says(Rule("all", quotas=(quota(1, "namespace"),)))

    with desk.external.holding("a", "create"):
        first = await desk.order("a", context=PAY)
        again = await desk.order("a", context=PAY)
    assert (await desk.ended("a")).state == "succeeded"
    later = await desk.order("a", context=PAY)

    assert again.operation_id == first.operation_id
    assert not isinstance(later, Accepted)


async def test_the_same_order_sent_twice_at_once_is_one_order(desk):
    desk.table.says(Rule("all", quotas=(quota(1, "namespace"),)))

    with desk.external.holding("a", "create"):
        both = await asyncio.gather(*(desk.order("a", context=PAY) for _ in range(8)))

    assert len({accepted.operation_id for accepted in both}) == 1


async def test_a_change_to_a_plan_whose_quota_is_used_up_is_refused_and_within_it_is_not(desk):
    desk.table.says(Rule("all", quotas=(quota(1, "namespace", "*/large"), quota(2, "platform", name="both"))))
    await desk.ready("a", context=PAY, plan=LARGE)
    await desk.ready("b", context=PAY, plan=SMALL)

    refusal = await refused(desk.update("b", service_plan_id=LARGE))
    await desk.gone("a", plan=LARGE)
    await desk.changed("b", service_plan_id=LARGE)

    assert "'things'" in refusal.description


async def test_a_moved_instance_is_counted_where_it_is_now(desk):
    desk.table.says(Rule("all", quotas=(quota(1, "namespace"),)))
    await desk.ready("a", context=PAY)

    await desk.update("a", context=WEB)

    await refused(desk.order("b", context=WEB))
    await desk.ready("b", context=PAY)


async def test_a_trial_of_an_order_is_refused_alike_and_counts_for_nobody(desk):
    desk.table.says(Rule("all", quotas=(quota(1, "namespace"),)))
    request = ProvisionRequest(desk.caller, "trial", SERVICE, SMALL, context=PAY)
    lifecycle = Instances(desk.database, desk.shop, desk.options)
    with desk.external.holding("trial", "create"):
        trial = asyncio.create_task(
            Instances(
                desk.database, desk.shop, replace(desk.options, request_wait=timedelta(seconds=2))
            ).try_out(request)
        )
        await desk.written("trial")

        await desk.ready("a", context=PAY)
        trial.cancel()

    await refused(lifecycle.try_out(replace(request, instance_id="another")))


async def test_of_fifty_orders_at_once_no_more_are_accepted_than_the_quota_grants(desk):
    desk.table.says(Rule("all", quotas=(quota(7, "namespace"), quota(9, "platform", name="all-of-it"))))

    answers = await asyncio.gather(
        *(desk.order(f"i{n}", context=PAY if n % 2 else WEB) for n in range(PARALLEL)), return_exceptions=True
    )

    assert sum(isinstance(answer, Accepted) for answer in answers) == 9
    assert sum(isinstance(answer, QuotaUsedUp) for answer in answers) == PARALLEL - 9


ORDERS = """
import asyncio, base64, sys
from tests.tenants.test_quotas import order_many
asyncio.run(order_many(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""


async def order_many(url: str, name: str, number: int) -> None:
    """Order at once from a process of its own, once told to; print what came of it."""
    from broker.store.sealing import KeyRing
    from tests.lifecycle.conftest import Shop
    from tests.tenants.tables import THINGS

    database = await Database.open(
        url, sealing=KeyRing([("test", secrets.token_bytes(32))]), broker_id="test"
    )
    table = rules(Rule("all", quotas=(quota(10, "platform"),)))
    lifecycle = Instances(database, Shop(THINGS), LifecycleOptions(tenants=Table(table)))
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)

    async def order(n: int) -> str:
        request = ProvisionRequest(
            Caller("cf"), f"{name}-{n}", SERVICE, SMALL, context=Context(), accepts_incomplete=True
        )
        try:
            await lifecycle.provision(request)
        except QuotaUsedUp:
            return "refused"
        return "accepted"

    print(*await asyncio.gather(*map(order, range(number))), flush=True)
    await database.close()


async def test_fifty_orders_at_once_in_several_processes_never_exceed_a_quota(postgresql_url):
    top = Path(__file__).parents[2]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", ORDERS, postgresql_url, f"p{n}", str(PARALLEL // 5)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=top, env={"PYTHONPATH": str(top), "PATH": ""},
        )
        for n in range(5)
    ]  # fmt: skip
    for process in processes:
        assert await asyncio.to_thread(process.stdout.readline) == "ready\n"

    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    said = [await asyncio.to_thread(process.communicate, None, 60) for process in processes]

    words = [word for out, _ in said for line in out.splitlines() for word in line.split()]
    assert words.count("accepted") == 10
    assert words.count("refused") == PARALLEL - 10
