from broker.azure.permissions import missing_actions, needed_actions


def test_wildcards_grant_and_exceptions_take_away_within_one_entry_only():
    granted = [
        {"actions": ["*"], "notActions": ["Microsoft.Authorization/*/Write", "Microsoft.X/servers/delete"]},
        {"actions": ["microsoft.x/SERVERS/*"], "notActions": []},
    ]

    needed = [
        "Microsoft.X/servers/delete",
        "Microsoft.Authorization/roleAssignments/write",
        "Microsoft.Y/z/read",
    ]

    assert missing_actions(granted, needed) == ("Microsoft.Authorization/roleAssignments/write",)


def test_nothing_is_granted_by_nothing_or_by_a_likely_name():
    assert missing_actions([], ["A/b/read"]) == ("A/b/read",)
    assert missing_actions([{"actions": ["A/b"]}, {"actions": ["AXb/*"]}, {}], ["A/b/read"]) == ("A/b/read",)


def test_a_plan_needs_reading_writing_and_deleting_of_each_type_and_its_posts():
    needed = needed_actions(
        ["Microsoft.X/servers", "Microsoft.X/servers"],
        posts=["Microsoft.X/servers/listKeys"],
        group_per_instance=True,
    )

    assert needed.count("Microsoft.X/servers/write") == 1
    assert "Microsoft.X/servers/listKeys/action" in needed
    assert "Microsoft.Resources/subscriptions/resourceGroups/delete" in needed
    assert missing_actions([{"actions": ["*"], "notActions": []}], needed) == ()
