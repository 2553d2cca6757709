"""From where the plans adopt that do nothing else, as long as no operator has said it."""

import pytest

from broker.catalog.reader import read_catalog
from broker.provisioners.adoption import wanted_of
from broker.provisioners.options import ProvisionerOptions
from broker.provisioners.recipe import Recipe
from broker.provisioners.verdicts import Contradiction
from broker.shipped import shipped

OWN = "/subscriptions/s/resourceGroups/brokers"
(PLAN,) = next(
    one for one in read_catalog(shipped("catalog")).offerings if one.name == "azure-sql-server-registered"
).plans


def wanted(group, *scopes, resource_group="brokers"):
    options = ProvisionerOptions("b", "s", "westeurope", resource_group, adoption_scopes=scopes)
    asked = {
        "resourceId": f"{group}/providers/Microsoft.Sql/servers/sql-a",
        "administratorLogin": "a",
        "administratorLoginPassword": "b" * 8,
    }
    return wanted_of(Recipe.read(PLAN.recipe), asked, options, parent={})


def test_a_server_is_registered_from_the_brokers_own_group_unless_scopes_say_more():
    assert wanted(OWN).id.group == "brokers"
    assert wanted("/subscriptions/s/resourceGroups/theirs", "/subscriptions/s").id.group == "theirs"


@pytest.mark.parametrize(
    ("group", "scopes", "own"),
    [
        ("/subscriptions/s/resourceGroups/theirs", (), "brokers"),
        ("/subscriptions/s/resourceGroups/brokers2", (), "brokers"),
        ("/subscriptions/other/resourceGroups/brokers", (), "brokers"),
        (OWN, (), None),
        (OWN, ("/subscriptions/s/resourceGroups/theirs",), "brokers"),
    ],
)
def test_a_server_from_elsewhere_is_not_registered(group, scopes, own):
    with pytest.raises(Contradiction, match="BROKER_ADOPTION_SCOPES"):
        wanted(group, *scopes, resource_group=own)
