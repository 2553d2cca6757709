"""What an operator sees and does about strays, missing instances and sealing keys, over HTTP."""

import pytest


def test_the_inventory_is_shown_and_asked_for(alice, reader):
    asked = alice.post("/inventory/take", {"reason": "A drill."})
    shown = reader.get("/inventory").json()

    assert (asked.status_code, asked.json()["effects"]) == (200, ["Azure is compared with the records."])
    assert shown["due_at"]
    assert (shown["strays"], shown["missing"]) == ([], [])


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"reason": "A drill."}, 400),
        ({"reason": "A drill.", "resource_ids": "one"}, 400),
        ({"reason": "A drill.", "resource_ids": [""]}, 400),
        ({"reason": "A drill.", "resource_ids": ["/subscriptions/s/resourceGroups/g"]}, 404),
        ({"every_orphan": True}, 400),
        ({"reason": "A drill.", "every_orphan": True, "force": True}, 400),
        ({"reason": "A drill.", "every_orphan": True}, 200),
    ],
)
def test_only_what_was_found_as_a_stray_is_deleted(alice, body, status):
    answer = alice.post("/inventory/delete-orphans", body)

    assert answer.status_code == status, answer.text


def test_the_keys_are_shown_with_what_they_seal_and_stored_values_sealed_anew(alice, reader, platform):
    platform.ready()
    (key,) = reader.get("/keys").json()["items"]

    answer = alice.post("/keys/reseal", {"reason": "A drill."})
    refused = alice.post("/keys/reseal", {"reason": "A drill.", "after": "nowhere"})
    foretold = alice.post("/keys/reseal", {"reason": "A drill.", "only_if": "0" * 32})

    assert (key["key_id"], key["at_hand"], key["seals"]) == ("tests", True, True)
    assert key["values"] > 0
    assert answer.json() == {"resealed": 0, "unopened": 0, "key_id": "tests"}
    assert refused.status_code == 400
    assert foretold.status_code == 400, "a condition is never passed over"
