"""What an operator sees and does about the catalog, over HTTP."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.catalog.offering_files import an_offering


def name_of(files):
    return next(path for path in files if path.endswith(".yaml")).split("/")[1].removesuffix(".yaml")


def edited(files, old, new):
    assert any(old in text for text in files.values())
    return {path: text.replace(old, new) for path, text in files.items()}


def proposed(desk, files, **body):
    return desk.post("/catalog/proposals", {"name": "teams", "files": files, "reason": "A test."} | body)


def registered(desk, files, **body):
    answer = proposed(desk, files, **body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["published"], answer.text
    return answer.json()["revision"]


@pytest.fixture
def files(alice, offering_files):
    """Files that are registered, and gone at the end of the test."""
    registered(alice, offering_files)
    yield offering_files
    for one in alice.get("/catalog/sources").json()["items"]:
        if one["kind"] == "registered":
            gone = alice.deed(f"/catalog/sources/{one['name']}/unregister")
            assert gone.status_code == 200, gone.text


def offered(desk, name):
    """Whether plans of an offering can be ordered, by name; None if there is no such offering."""
    revision = desk.get("/catalog").json()["revision"]
    found = desk.get(f"/catalog/revisions/{revision}").json()["offerings"]
    for offering in found:
        if offering["name"] == name:
            return {p["name"]: not (p["withdrawn"] or offering["withdrawn"]) for p in offering["plans"]}
    return None


def test_what_is_registered_is_published_and_shown_with_who_and_why(alice, reader, offering_files):
    revision = registered(alice, offering_files, reason="Storage for all.")

    shown = reader.get(f"/catalog/revisions/{revision}").json()
    (source,) = reader.get("/catalog/sources").json()["items"]
    kept = reader.get("/catalog/sources/teams").json()
    listed = reader.get("/catalog/revisions").json()["items"][0]

    assert (shown["summary"]["author"], shown["summary"]["reason"]) == ("operator alice", "Storage for all.")
    assert [one["name"] for one in shown["offerings"]] == [name_of(offering_files)]
    assert (source["name"], source["kind"], source["files"]) == ("teams", "registered", 2)
    assert (source["author"], source["reason"]) == ("operator alice", "Storage for all.")
    assert kept["files"] == offering_files
    assert listed == shown["summary"]
    assert (listed["revision"], listed["in_force"], listed["plans"]) == (revision, True, 4)
    assert [row["action"] for row in alice.audited("catalog source teams")][-1] == "register"
    gone = alice.deed("/catalog/sources/teams/unregister")
    assert gone.json()["effects"] == [f"{name_of(offering_files)}: the service offering is no longer there"]


def test_the_same_registration_again_changes_nothing(alice, files):
    again = proposed(alice, files).json()

    assert (again["published"], again["refused"], again["effects"]) == (False, False, [])


def test_a_dry_run_tells_what_would_change_and_publishes_nothing(alice, files):
    before = alice.get("/catalog").json()["revision"]

    told = proposed(alice, edited(files, "free: false", "free: true"), dry_run=True).json()

    assert (told["published"], told["refused"], told["revision"]) == (False, False, before)
    assert told["effects"] == [
        f"{name_of(files)}/{plan}, free: False becomes True"
        for plan in sorted(offered(alice, name_of(files)))
    ]
    assert alice.get("/catalog").json()["revision"] == before


def test_all_faults_are_answered_with_file_line_and_place_and_nothing_is_published(alice, files):
    before = alice.get("/catalog").json()["revision"]
    spoilt = edited(edited(files, "free: false", "free: maybe"), "bindable: true", "bindabel: true")

    told = proposed(alice, spoilt, dry_run=True).json()
    refused = proposed(alice, spoilt)

    (path,) = (path for path in files if path.endswith(".yaml"))
    lines = spoilt[path].splitlines()
    assert told["refused"]
    assert {fault["path"] for fault in told["faults"]} >= {"bindabel", "bindable", "plans[0].free"}
    for fault in told["faults"]:
        assert fault["file"].endswith(path)
        if fault["path"].endswith("free"):
            assert "free: maybe" in lines[fault["line"] - 1]
    assert (refused.status_code, refused.json()["error"]) == (422, "CatalogRefused")
    assert refused.json()["faults"] == told["faults"]
    assert alice.get("/catalog").json()["revision"] == before


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"../../etc/passwd.yaml": "a: 1"}, "is not at <family>/<offering>.yaml"),
        ({"/etc/passwd.yaml": "a: 1"}, "is not at <family>/<offering>.yaml"),
        ({"storage/a.yaml": "a: &a [1]\nb: [*a, *a]"}, "anchors and aliases are not allowed"),
        ({"storage/a.yaml": "#" * 300_000}, "is larger than 256 KiB"),
        ({"storage/a.yaml": "- 1"}, "storage/a.yaml"),
        ({"storage/account.json": "{}"}, "holds no <family>/<offering>.yaml"),
        ({}, "holds no <family>/<offering>.yaml"),
    ],
)
def test_hostile_or_pointless_files_are_refused_in_words(alice, files, said):
    refused = proposed(alice, files)

    assert refused.status_code == 422
    assert said in refused.text


@pytest.mark.parametrize(
    "body",
    [
        {"files": [], "name": "teams"},
        {"files": {"storage/a.yaml": 7}, "name": "teams"},
        {"files": {}, "name": ""},
        {"files": {}},
        {"files": {}, "name": "teams", "expected_revision": "7"},
        {"files": {}, "name": "teams", "expected_revision": True},
        {"files": {}, "name": "teams", "only_if": "x"},
        {"files": {}, "name": "teams", "force": True},
        {"files": {}, "name": "teams", "reason": " "},
    ],
)
def test_a_malformed_proposal_is_400(alice, body):
    assert alice.post("/catalog/proposals", {"reason": "A test."} | body).status_code == 400


def test_only_what_an_operator_may_is_done(reader, alice, offering_files):
    refused = proposed(reader, offering_files)

    assert refused.status_code == 403
    assert alice.get("/catalog/sources").json()["items"] == []


def test_a_body_larger_than_any_catalog_is_not_read(alice):
    assert proposed(alice, {"storage/a.yaml": "#" * 17_000_000}).status_code == 413


def test_a_plan_is_withdrawn_and_restored_by_its_name(alice, files):
    name = name_of(files)

    withdrawn = alice.deed("/catalog/withdraw", "Too dear.", what=f"{name}/premium-block-blob")
    while_withdrawn = offered(alice, name)
    again = alice.deed("/catalog/withdraw", what=f"{name}/premium-block-blob").json()
    replaced = proposed(alice, edited(files, "free: false", "free: true")).json()
    still = offered(alice, name)
    restored = alice.deed("/catalog/restore", what=f"{name}/premium-block-blob")

    assert withdrawn.json()["effects"] == [f"{name}/premium-block-blob, withdrawn: can no longer be ordered"]
    assert while_withdrawn == still
    assert [plan for plan, may in still.items() if not may] == ["premium-block-blob"]
    assert not again["published"]
    assert replaced["published"]
    assert restored.json()["effects"] == [f"{name}/premium-block-blob, withdrawn: can be ordered again"]
    assert all(offered(alice, name).values())
    assert [row["action"] for row in alice.audited(f"catalog {name}/premium")] == ["withdraw", "restore"]


def test_a_whole_offering_is_withdrawn_and_restored(alice, files):
    name = name_of(files)

    alice.deed("/catalog/withdraw", what=name)
    while_withdrawn = offered(alice, name)
    alice.deed("/catalog/restore", what=name)

    assert not any(while_withdrawn.values())
    assert all(offered(alice, name).values())


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/catalog/withdraw", {"what": "nothing-of-that-name"}, 404),
        ("/catalog/withdraw", {"what": "nothing/of/that/name"}, 404),
        ("/catalog/restore", {"what": "{name}"}, 422),
        ("/catalog/sources/nobody/unregister", {}, 404),
        ("/catalog/revisions/999999/roll-back", {}, 404),
        ("/catalog/revisions/one/roll-back", {}, 404),
    ],
)
def test_what_is_not_there_is_said(alice, files, path, body, status):
    body = {key: value.format(name=name_of(files)) for key, value in body.items()}

    assert alice.deed(path, **body).status_code == status


@pytest.mark.parametrize("path", ["/catalog/revisions/999999", "/catalog/revisions/x", "/catalog/sources/x"])
def test_what_is_not_there_is_not_shown(reader, path):
    assert reader.get(path).status_code == 404


def test_an_older_revision_comes_back_with_files_and_withdrawals_when_an_operator_says_so(alice, files):
    name = name_of(files)
    alice.deed("/catalog/withdraw", what=f"{name}/standard-zrs")
    good = alice.get("/catalog").json()["revision"]
    alice.deed("/catalog/restore", what=f"{name}/standard-zrs")
    proposed(alice, edited(files, "description: ", "description: Worse. "))
    before = alice.get("/catalog").json()["revision"]

    back = alice.deed(f"/catalog/revisions/{good}/roll-back", "It was better.").json()

    assert (back["published"], back["revision"]) == (True, before + 1)
    assert not offered(alice, name)["standard-zrs"]
    assert alice.get("/catalog/sources/teams").json()["files"] == files
    assert alice.get(f"/catalog/revisions/{before + 1}").json()["summary"]["reason"] == "It was better."


def test_a_pipeline_changes_only_the_revision_that_it_has_looked_at(alice, bob, files):
    looked_at = alice.get("/catalog").json()["revision"]
    bob.deed("/catalog/withdraw", what=name_of(files))

    refused = proposed(alice, edited(files, "free: false", "free: true"), expected_revision=looked_at)

    assert (refused.status_code, refused.json()["error"]) == (409, "CatalogChanged")
    assert offered(alice, name_of(files)) is not None


def test_of_many_who_register_at_once_nobody_undoes_what_another_did(alice, offering_files):
    def one(number):
        files = an_offering(f"n{number}-{name_of(offering_files)}")
        return proposed(alice, files, name=f"team-{number}").json()

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(one, range(6)))

    assert all(answer["published"] for answer in answers), answers
    assert len({answer["revision"] for answer in answers}) == 6
    names = [source["name"] for source in alice.get("/catalog/sources").json()["items"]]
    assert sorted(names) == [f"team-{number}" for number in range(6)]
    for name in names:
        assert alice.deed(f"/catalog/sources/{name}/unregister").json()["published"]
