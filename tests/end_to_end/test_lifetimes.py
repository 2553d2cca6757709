"""A plan that limits how long a binding lives: the platform is told the time, and the server holds to it."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.end_to_end.logins import connect, works
from tests.end_to_end.orders import ALL_IN_ONE
from tests.simulated import wait_until

pytestmark = pytest.mark.slow
LIFETIME = timedelta(seconds=6)
"""Long enough to be used on a busy machine, short enough to be waited for."""


def test_a_login_is_refused_after_the_time_that_its_binding_was_told(world):
    world.in_a_hurry(ALL_IN_ONE, binding_lifetime=LIFETIME)
    ca_file = world.azure.access.ca_file

    with world.serving() as platform:
        instance = platform.ready(ALL_IN_ONE.order())
        # The server's process starts at its first connection; that is not to take of the lifetime.
        platform.bound(instance, ALL_IN_ONE.body())
        binding, bound = platform.bound(instance, ALL_IN_ONE.body())
        credentials = bound["credentials"]
        told = datetime.fromisoformat(bound["metadata"]["expires_at"])
        with connect(credentials, ca_file) as connection:
            query = "SELECT rolvaliduntil FROM pg_roles WHERE rolname = session_user"
            ((held,),) = connection.execute(query).fetchall()
            wait_until(lambda: datetime.now(UTC) > told, at_most=LIFETIME.total_seconds() + 5)
            refused = not works(credentials, ca_file)
        _, rotated = platform.bound(instance, ALL_IN_ONE.body(predecessor_binding_id=binding))
        renewed = works(rotated["credentials"], ca_file)

    assert abs(held - told) < timedelta(seconds=1)
    assert refused
    assert renewed
    assert rotated["metadata"]["expires_at"] > bound["metadata"]["expires_at"]
