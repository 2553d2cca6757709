import httpx
import pytest

from broker.api.health import HealthChecks, health_application

pytestmark = pytest.mark.anyio


async def well():
    return None


async def broken():
    return "it is broken"


async def asked(path, *, alive, ready, note=well):
    checks = HealthChecks(
        {"runner": alive}, {"database": ready}, lambda: (b"up 1\n", "text/plain"), {"operations": note}
    )
    transport = httpx.ASGITransport(app=health_application(checks))
    async with httpx.AsyncClient(transport=transport, base_url="http://health") as client:
        return await client.get(path)


@pytest.mark.parametrize(
    ("path", "alive", "ready", "status"),
    [
        ("/healthz", well, well, 200),
        ("/healthz", well, broken, 200),
        ("/healthz", broken, well, 503),
        ("/readyz", well, well, 200),
        ("/readyz", well, broken, 503),
        ("/readyz", broken, well, 503),
    ],
)
async def test_a_process_lives_while_its_runner_does_and_is_ready_while_the_database_answers(
    path, alive, ready, status
):
    answer = await asked(path, alive=alive, ready=ready)

    assert answer.status_code == status
    if status == 503:
        assert "it is broken" in answer.json()["checks"].values()


async def test_a_note_is_told_with_readiness_and_takes_nothing_out_of_service():
    answer = await asked("/readyz", alive=well, ready=well, note=broken)
    nothing = await asked("/readyz", alive=well, ready=well)
    liveness = await asked("/healthz", alive=well, ready=well, note=broken)

    assert answer.status_code == 200
    assert answer.json()["notes"] == {"operations": "it is broken"}
    assert "notes" not in nothing.json()
    assert "notes" not in liveness.json()


async def test_metrics_are_shown_as_they_are():
    answer = await asked("/metrics", alive=well, ready=well)

    assert (answer.status_code, answer.text) == (200, "up 1\n")
