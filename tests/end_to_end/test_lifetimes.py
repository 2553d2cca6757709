"""A plan that limits how long a binding lives: the platform is told the time, and the server holds to it."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.end_to_end.world import ALL_IN_ONE, connect, wait_until, works

pytestmark = pytest.mark.slow
LIFETIME = timedelta(seconds=5)


def test_a_login_is_refused_after_the_time_that_its_binding_was_told(world):
    world.in_a_hurry(ALL_IN_ONE, binding_lifetime=LIFETIME)
    ca_file = world.azure.access.ca_file

    with world.serving() as platform:
        instance = platform.ready(ALL_IN_ONE.order())
        # The server's process starts at its first connection; that is not to take of the lifetime.
        platform.bound(instance, ALL_IN_ONE.body())
        _, bound = platform.bound(instance, ALL_IN_ONE.body())
        credentials = bound["credentials"]
        told = datetime.fromisoformat(bound["metadata"]["expires_at"])
        with connect(credentials, ca_file) as connection:
            query = "SELECT rolvaliduntil FROM pg_roles WHERE rolname = session_user"
            ((held,),) = connection.execute(query).fetchall()
            wait_until(lambda: datetime.now(UTC) > told, at_most=LIFETIME.total_seconds() + 5)
            refused = not works(credentials, ca_file)
        renewed, rotated = platform.bound(
            instance, ALL_IN_ONE.body(predecessor_binding_id=bound_id(platform))
        )

    assert abs(held - told) < timedelta(seconds=1)
    assert refused
    assert renewed
    assert rotated["metadata"]["expires_at"] > bound["metadata"]["expires_at"]


def bound_id(platform) -> str:
    """The id of the binding that was made last."""
    made = [seen for seen in platform.seen if "/service_bindings/" in str(seen.request.url)]
    return made[-1].request.url.path.rsplit("/", 1)[1]
