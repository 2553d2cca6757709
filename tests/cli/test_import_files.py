"""Files of service instances that platforms hold: read whole and strictly, or not at all."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.cli.import_files import COLUMNS, NEEDED, Row, WrongFile, read

HEAD = "platform,instance_id,service_id,plan_id,resource_id"


@pytest.fixture
def file(tmp_path):
    def write(*lines, encoding="utf-8"):
        path = tmp_path / "held.csv"
        path.write_bytes("\n".join(lines).encode(encoding))
        return path

    return write


@pytest.fixture
def secret_file(tmp_path):
    def write(text, mode=0o600):
        path = tmp_path / "secrets.json"
        path.write_text(text)
        path.chmod(mode)
        return path

    return write


def faults_of(path, secrets=None):
    with pytest.raises(WrongFile) as wrong:
        read(path, secrets)
    return [fault.removeprefix(f"{path.parent}/") for fault in wrong.value.faults]


def test_a_row_becomes_a_request_and_empty_cells_say_nothing(file):
    rows = read(
        file(
            f"{HEAD},organization,space,cluster,namespace,alias,adopt,administrator_login,parameters",
            'cf,i1,s,p,/subscriptions/1,o,sp,,,main,manage,root,"{""tier"": 2}"',
            "k8s,i2,s,p,/subscriptions/2,,,c1,team,,,,",
        )
    )

    first, second = (row.body for row in rows)
    assert first == {
        "platform": "cf",
        "instance_id": "i1",
        "service_id": "s",
        "plan_id": "p",
        "resource_id": "/subscriptions/1",
        "alias": "main",
        "adopt": "manage",
        "context": {"platform": "cloudfoundry", "organization_guid": "o", "space_guid": "sp"},
        "parameters": {"tier": 2, "administratorLogin": "root"},
    }
    assert second["context"] == {"platform": "kubernetes", "clusterid": "c1", "namespace": "team"}
    assert second.keys() == {*NEEDED, "context", "parameters"}


def test_a_file_of_a_spreadsheet_is_read_with_its_mark_line_ends_and_empty_lines(file):
    rows = read(file(f"\ufeff{HEAD}\r", "cf,i1,s,p,/subscriptions/1\r", ",,,,\r", "\r", encoding="utf-8"))

    assert [(row.line, row.instance_id) for row in rows] == [(2, "i1")]


@pytest.mark.parametrize(
    "said",
    ['{"a": NaN}', '{"a": 1e999}', '{"a": "\\ud800"}', "[" * 990],
    ids=["NaN", "large", "half", "deep"],
)
def test_what_no_request_can_hold_is_told_before_anything_is_sent(file, secret_file, said):
    quoted = said.replace('"', '""')

    assert faults_of(file(f"{HEAD},parameters", f'cf,i1,s,p,/subscriptions/1,"{quoted}"')) == [
        "held.csv:2: parameters: is no JSON object"
    ]
    held_back = secret_file(f'{{"i1": {said}}}')
    assert faults_of(file(HEAD, "cf,i1,s,p,/subscriptions/1"), held_back) == ["secrets.json: is no JSON"]


def test_parents_come_before_their_children_whatever_their_order(file):
    rows = read(
        file(
            f"{HEAD},parent,alias",
            "cf,grandchild,s,p,/subscriptions/3,child,",
            "cf,child,s,p,/subscriptions/2,by-alias,",
            "cf,parent,s,p,/subscriptions/1,,by-alias",
            "cf,orphan,s,p,/subscriptions/4,elsewhere,",
        )
    )

    assert [row.instance_id for row in rows] == ["parent", "child", "grandchild", "orphan"]


def test_secrets_come_from_a_file_that_only_its_owner_may_read(file, secret_file):
    held = file(HEAD, "cf,i1,s,p,/subscriptions/1")
    secrets = json.dumps({"i1": {"administratorLoginPassword": "x"}})

    (row,) = read(held, secret_file(secrets))
    open_to_all = faults_of(held, secret_file(secrets, mode=0o644))
    unused = faults_of(held, secret_file(json.dumps({"i1": {}, "i2": {}})))
    broken = faults_of(held, secret_file('{"i1": {"administratorLoginPassword": "half of it'))

    assert row.body["secrets"] == {"administratorLoginPassword": "x"}
    assert open_to_all == ["secrets.json: others may read it; take that away (chmod 600)"]
    assert unused == ["secrets.json: no row has the instance 'i2'"]
    assert broken == ["secrets.json: is no JSON"]


@pytest.mark.parametrize(
    ("lines", "faults"),
    [
        ([], ["the column platform is missing"] * 1),
        ([HEAD], ["held.csv: holds no rows"]),
        (
            [HEAD + ",password", "cf,i,s,p,/r,x"],
            ["held.csv:1: password: no secret stands in this file; use --secrets"],
        ),
        ([HEAD + ",colour", "cf,i,s,p,/r,x"], ["held.csv:1: there is no column 'colour'; there are"]),
        ([HEAD + ",platform", "cf,i,s,p,/r,x"], ["held.csv:1: the column platform is there twice"]),
        ([HEAD, "cf,i,s,p"], ["held.csv:2: has 4 cells instead of 5"]),
        ([HEAD, "cf,i,s,p,/r,"], ["held.csv:2: has 6 cells instead of 5"]),
        ([HEAD, "cf,,s,p,/r"], ["held.csv:2: instance_id: is empty"]),
        ([HEAD, 'cf,"i,s,p,/r'], ["is no CSV"]),
        ([HEAD, "cf,a\x00b,s,p,/r"], ["held.csv:2: instance_id: holds a character that cannot be printed"]),
        ([HEAD, 'cf,"a\nb",s,p,/r'], ["held.csv:2: instance_id: holds a character that cannot be printed"]),
        ([HEAD, f"cf,{'i' * 1001},s,p,/r"], ["held.csv:2: instance_id: is longer than 1000 characters"]),
        ([HEAD + ",adopt", "cf,i,s,p,/r,yes"], ["held.csv:2: adopt: must be bind-only or manage"]),
        (
            [HEAD + ",delete_policy", "cf,i,s,p,/r,no"],
            ["held.csv:2: delete_policy: must be retain or delete"],
        ),
        ([HEAD + ",parameters", "cf,i,s,p,/r,[1]"], ["held.csv:2: parameters: is no JSON object"]),
        (
            [HEAD + ",namespace,space", "cf,i,s,p,/r,n,s"],
            ["held.csv:2: has a place on Kubernetes and one on Cloud Foundry"],
        ),
        ([HEAD, "cf,i,s,p,/r", "cf,i,s,p,/q"], ["held.csv:3: the instance stands in line 2, too"]),
        ([HEAD, "cf,i,s,p,/r", "k8s,j,s,p,/R/"], ["held.csv:3: the resource stands in line 2, too"]),
        ([HEAD + ",parent", "cf,i,s,p,/r,j", "cf,j,s,p,/q,i"], ["held.csv:2: is its own parent"]),
        (
            [HEAD, "cf,,s,p,/r", "cf,i,s,p"],
            ["held.csv:2: instance_id: is empty", "held.csv:3: has 4 cells instead of 5"],
        ),
    ],
)
def test_a_wrong_file_is_refused_whole_with_each_line(file, lines, faults):
    found = faults_of(file(*lines))

    for said in faults:
        assert any(said in fault for fault in found), found


def test_what_is_no_text_too_large_or_not_there_is_said_so(file, tmp_path):
    large = tmp_path / "large.csv"
    large.write_bytes(b"x" * (10 * 1024 * 1024 + 1))

    assert faults_of(file(HEAD, "cf,\xe9,s,p,/r", encoding="latin-1")) == ["held.csv:2: is not UTF-8 text"]
    assert faults_of(large) == ["large.csv: is larger than 10 MiB; split it"]
    assert "No such file" in faults_of(tmp_path / "none.csv")[0]


@given(
    st.lists(st.sampled_from([*COLUMNS, "colour", ""]), max_size=8),
    st.lists(st.lists(st.text(max_size=6), max_size=8), max_size=4),
)
def test_no_file_breaks_the_reader(tmp_path_factory, columns, cells):
    path = tmp_path_factory.mktemp("held") / "held.csv"
    path.write_text("\n".join(",".join(line) for line in [columns, *cells]), encoding="utf-8", newline="")

    with suppress(WrongFile):
        assert all(isinstance(row, Row) and row.instance_id for row in read(path))
