"""What users write, applied to a real broker with a simulated Azure, and the Secrets that they get."""

import re
from pathlib import Path

import pytest

from tests.end_to_end.world import PLATFORM, World
from tests.service_catalog.applying import NotReady, NotValid, apply, delete
from tests.service_catalog.controller import Controller

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

PAGE = Path(__file__).parents[2] / "docs" / "kubernetes-service-catalog.md"
(A_STORE,) = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
"""What users write, as the documentation shows it."""


@pytest.fixture(scope="module")
def world(simulator, migrated_file, tmp_path_factory):
    folder = tmp_path_factory.mktemp("applying")
    file = folder / "broker.db"
    file.write_bytes(migrated_file.read_bytes())
    made = World(simulator, f"sqlite:///{file}", folder)
    made.start()
    yield made
    made.end()


@pytest.fixture
async def controller(world):
    url = world.living[0].url
    async with Controller(url, (PLATFORM, world.password), speed=50) as made:
        await made.relist()
        yield made


async def test_a_store_and_its_secret_come_and_go(controller, world):
    applied = await apply(controller, A_STORE)

    assert set(applied.secrets) == {"photos-credentials"}
    assert {"accessKey", "connectionString"} <= set(applied.secrets["photos-credentials"])
    assert len(world.resources("storageAccounts")) == 1
    await delete(controller, applied)
    assert applied.secrets == {}
    assert world.resources("storageAccounts") == []


@pytest.mark.parametrize(
    ("right", "wrong", "words"),
    [
        ("secretName: photos", "secretname: photos", "unknown"),
        ("kind: ServiceBinding", "kind: Binding", "no kind"),
        ("tags: {team: photos}", "accessTier: Hot", "given twice"),
    ],
)
async def test_a_misspelt_object_is_refused(controller, right, wrong, words):
    with pytest.raises(NotValid, match=words):
        await apply(controller, A_STORE.replace(right, wrong).replace("name: store", "name: another"))


async def test_an_order_that_can_never_be_is_told_with_the_brokers_words(controller):
    with pytest.raises(NotReady, match=r"ProvisionCallFailed.*accessTier"):
        await apply(controller, A_STORE.replace("Cool", "Lukewarm"))
