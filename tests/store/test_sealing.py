import secrets

import pytest
from sqlalchemy import text

from broker.store import bindings, instances
from broker.store.database import Database
from broker.store.errors import SealBroken
from broker.store.sealing import KeyRing, key_name
from tests.store.nouns import a_binding, an_instance


def a_key() -> bytes:
    return secrets.token_bytes(32)


def test_what_was_sealed_opens_at_its_place_only():
    ring = KeyRing([("one", a_key())])
    sealed = ring.seal(b"secret", place="table.column:1")

    assert ring.unseal(sealed, place="table.column:1") == b"secret"
    assert b"secret" not in sealed
    with pytest.raises(SealBroken):
        ring.unseal(sealed, place="table.column:2")


def test_an_old_key_still_opens_and_the_new_one_seals():
    old, new = a_key(), a_key()
    sealed = KeyRing([("old", old)]).seal(b"secret", place="here")
    ring = KeyRing([("new", new), ("old", old)])

    assert ring.unseal(sealed, place="here") == b"secret"
    assert key_name(ring.seal(b"secret", place="here")) == "new"
    with pytest.raises(SealBroken, match="'old'"):
        KeyRing([("new", new)]).unseal(sealed, place="here")


@pytest.mark.parametrize("position", [0, 1, 3, 8, -1])
def test_a_changed_value_does_not_open(position: int):
    ring = KeyRing([("one", a_key())])
    sealed = bytearray(ring.seal(b"secret", place="here"))

    sealed[position] ^= 1

    with pytest.raises(SealBroken):
        ring.unseal(bytes(sealed), place="here")


@pytest.mark.parametrize(
    "keys", [[], [("a", b"short")], [("a", bytes(32))], [("", a_key())], [("a", a_key())] * 2]
)
def test_a_key_ring_without_a_good_key_is_refused(keys):
    with pytest.raises(ValueError, match=r"."):
        KeyRing(keys)


@pytest.mark.anyio
async def test_no_secret_is_in_clear_in_any_column(database: Database):
    instance = an_instance()
    binding = a_binding(instance, credentials={"password": "only-sealed"})
    async with database.transaction() as tx:
        await instances.add(tx, instance)
        await bindings.add(tx, binding)

    async with database.transaction() as tx:
        rows = [
            row
            for table in ("service_instances", "service_bindings")
            for row in await tx.connection.execute(text(f"SELECT * FROM {table}"))
        ]

    assert len(rows) == 2
    assert all(
        b"only-sealed" not in bytes(v) for row in rows for v in row if isinstance(v, bytes | memoryview)
    )
    assert all("only-sealed" not in str(value) for row in rows for value in row)
