"""Whatever is asked at once and in whatever order, no login outlives its instance."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.end_to_end.logins import connect, works
from tests.end_to_end.orders import ALL_IN_ONE, DATABASE, SHARED_SERVER
from tests.osb.platform import an_id, at_once
from tests.simulated import wait_until

pytestmark = pytest.mark.slow

requests = st.one_of(
    st.tuples(st.just("bind"), st.integers(0, 2)),
    st.tuples(st.just("unbind"), st.integers(0, 2)),
    st.tuples(st.just("update"), st.integers(0, 1)),
    st.tuples(st.just("deprovision"), st.just(0)),
)


class Shared:
    """A server with one database that stays and looks on."""

    def __init__(self, world, platform) -> None:
        self.platform = platform
        self.ca_file = world.azure.access.ca_file
        platform.ready(SHARED_SERVER.order(alias="shared"))
        watching = self.a_database()
        _, bound = platform.bound(watching, DATABASE.body())
        self.credentials = bound["credentials"]

    def a_database(self) -> str:
        return self.platform.ready(DATABASE.order(parentAlias="shared"))

    def roles(self) -> set[str]:
        """All roles on the server that some binding or database brought along."""
        with connect(self.credentials, self.ca_file) as connection:
            query = "SELECT rolname FROM pg_roles WHERE rolname LIKE 'app%' OR rolname LIKE '%owner'"
            return {row[0] for row in connection.execute(query)}


def ask(platform, instance, bindings, request):
    match request:
        case "bind", number:
            return platform.bind(instance, bindings[number], DATABASE.body())
        case "unbind", number:
            return platform.unbind(instance, bindings[number], DATABASE.plan_id, DATABASE.service_id)
        case "update", number:
            wanted = [[], ["hstore"]][number]
            return platform.update(
                instance, {"service_id": DATABASE.service_id, "parameters": {"extensions": wanted}}
            )
        case _:
            return platform.deprovision(instance, DATABASE.plan_id, DATABASE.service_id)


def expected(request, answer) -> bool:
    """Whether a platform may get this answer: no fault of the broker's, though a deletion may end a bind."""
    ended = request[0] == "bind" and answer.json().get("error") == "OperationFailed"
    return ended or answer.status_code < 500


def test_no_order_of_requests_leaves_a_login_of_a_deleted_instance(world):
    with world.serving() as platform:
        shared = Shared(world, platform)
        before = shared.roles()

        @settings(
            max_examples=6,
            deadline=None,
            derandomize=True,
            database=None,
            # A smaller example would take minutes to find, in real time.
            phases=[Phase.generate],
            suppress_health_check=[HealthCheck.too_slow],
        )
        @given(history=st.lists(requests, min_size=4, max_size=8))
        def leaves_no_login(history):
            instance, bindings = shared.a_database(), [an_id() for _ in range(3)]
            with ThreadPoolExecutor(len(history)) as pool:
                asked = [pool.submit(ask, platform, instance, bindings, request) for request in history]
                answers = [one.result() for one in asked]
            wait_until(lambda: world.count("operations", "status = 'in progress'") == 0)
            made = shared.roles() - before
            fetched = [platform.fetch(instance, binding) for binding in bindings]
            platform.gone(instance, DATABASE.plan_id, DATABASE.service_id)

            bound = {f.json()["credentials"]["username"] for f in fetched if f.status_code == 200}
            assert {role for role in made if role.startswith("app")} == bound
            assert [a.text for r, a in zip(history, answers, strict=True) if not expected(r, a)] == []
            assert shared.roles() == before

        leaves_no_login()


def test_twenty_binds_at_once_give_twenty_logins_that_work(world):
    ca_file = world.azure.access.ca_file
    with world.serving() as platform:
        instance = platform.ready(ALL_IN_ONE.order())

        answers = at_once(20, lambda _: platform.bind(instance, an_id(), ALL_IN_ONE.body()))

        assert [answer.status_code for answer in answers] == [201] * 20
        credentials = [answer.json()["credentials"] for answer in answers]
        assert len({one["username"] for one in credentials}) == 20
        assert all(at_once(20, lambda number: works(credentials[number], ca_file)))
