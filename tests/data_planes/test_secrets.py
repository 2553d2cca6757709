import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.data_planes.secrets import generated_password, generated_username


def test_a_password_has_every_class_and_begins_with_a_letter():
    passwords = [generated_password() for _ in range(200)]

    for password in passwords:
        assert len(password) == 32
        assert password[0] in string.ascii_letters
        assert set(password) <= set(string.ascii_letters + string.digits + "~_.-")
        for characters in (string.ascii_uppercase, string.ascii_lowercase, string.digits, "~_.-"):
            assert set(password) & set(characters)


def test_no_password_comes_twice():
    assert len({generated_password() for _ in range(500)}) == 500


@given(st.text())
def test_a_key_always_gives_the_same_name_which_every_database_takes(key):
    name = generated_username("osb", key)

    assert name == generated_username("osb", key)
    assert len(name) <= 63
    assert set(name) <= set(string.ascii_lowercase + string.digits + "_")


@given(st.text(), st.text())
def test_two_keys_never_share_a_name(one, other):
    assert (generated_username("osb", one) == generated_username("osb", other)) == (one == other)


@pytest.mark.parametrize("prefix", ["", "1st", "Osb", "o-s", "pg_x", "azure", "a" * 21])
def test_a_prefix_that_the_server_keeps_or_would_fold_is_refused(prefix):
    with pytest.raises(ValueError, match=r"name"):
        generated_username(prefix, "key")


def test_a_username_can_be_as_short_as_a_database_wants_it():
    name = generated_username("app", "key", longest=32)

    assert len(name) == 32
    assert generated_username("app", "key").startswith(name)
    with pytest.raises(ValueError, match="too long"):
        generated_username("application", "key", longest=31)
