import pytest

from broker.azure.clouds import CHINA, PUBLIC, custom
from broker.azure.resource_ids import checked, parse, pattern_of, portal_url, resource_id

DATABASE = "/subscriptions/s/resourceGroups/g/providers/Microsoft.X/servers/a/databases/b"


def test_an_id_is_taken_apart_and_put_together_again():
    parsed = parse(DATABASE)

    assert (parsed.subscription, parsed.group) == ("s", "g")
    assert (parsed.type, parsed.name) == ("Microsoft.X/servers/databases", "b")
    assert str(parsed) == DATABASE
    assert str(parsed.parent) == "/subscriptions/s/resourceGroups/g/providers/Microsoft.X/servers/a"
    assert parsed.parent.parent is None
    assert parsed.parent.child("databases", "b") == parsed
    assert resource_id("s", "g", "Microsoft.X/servers/databases", "a", "b") == DATABASE


def test_ids_are_compared_without_regard_to_case():
    assert parse(DATABASE.upper()).key == parse(DATABASE).key


def test_an_extension_stands_in_the_scope_of_what_it_extends():
    parsed = parse(f"{DATABASE}/providers/Microsoft.Authorization/roleAssignments/r")

    assert parsed.type == "Microsoft.Authorization/roleAssignments"
    assert parsed.scope == DATABASE
    assert parsed.group == "g"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "/subscriptions/s",
        f"{DATABASE}/",
        f"{DATABASE}/more",
        f"{DATABASE}?x=1",
        f"{DATABASE}/../c/d",
        "/a//b",
    ],
)
def test_what_is_no_resource_id_is_refused(text):
    with pytest.raises(ValueError, match=r"path|resource id"):
        parse(text)


def test_a_path_with_an_escape_is_refused():
    with pytest.raises(ValueError, match="path"):
        checked("/subscriptions/a%2fb")


def test_patterns_have_no_names_in_them():
    assert pattern_of(DATABASE) == (
        "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.X/servers/{}/databases/{}"
    )
    assert pattern_of("/subscriptions/s/resourcegroups/g/deployments/d/operations") == (
        "/subscriptions/{}/resourcegroups/{}/deployments/{}/operations"
    )
    assert pattern_of(f"{DATABASE}/listKeys").endswith("/databases/{}/listKeys")
    assert pattern_of("/subscriptions/s/providers/Microsoft.X") == "/subscriptions/{}/providers/Microsoft.X"


def test_a_dashboard_is_the_portals_page_of_the_resource():
    assert portal_url(PUBLIC, DATABASE, "t") == f"https://portal.azure.com/#@t/resource{DATABASE}"
    assert portal_url(CHINA, DATABASE) == f"https://portal.azure.cn/#resource{DATABASE}"
    assert portal_url(custom("https://127.0.0.1:1"), DATABASE) is None
