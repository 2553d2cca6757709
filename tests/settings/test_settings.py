import base64
import hashlib
import json
import secrets
from datetime import timedelta

import pytest

from broker.settings import SettingsError, read_database_settings, read_settings


def a_key(key_id="a"):
    return f"{key_id}:{base64.b64encode(secrets.token_bytes(32)).decode()}"


@pytest.fixture
def environment(monkeypatch):
    """Set what a broker needs at least; called with names and values, set those too (None takes one away)."""
    needed = {
        "DATABASE_URL": "sqlite:///broker.db",
        "BROKER_ID": "ours",
        "SEALING_KEYS": a_key(),
        "AZURE_AUTHENTICATION": "managed-identity",
        "AZURE_SUBSCRIPTION_ID": "3f0c1c3e-2b8e-4f2a-9d53-0f3a5e3b7b11",
        "AZURE_LOCATION": "westeurope",
    }

    def setter(**more):
        for name, value in more.items():
            if value is None:
                monkeypatch.delenv("BROKER_" + name, raising=False)
            else:
                monkeypatch.setenv("BROKER_" + name, str(value))

    setter(**needed)
    return setter


def faults_of(call):
    with pytest.raises(SettingsError) as refused:
        call()
    return refused.value.faults


def test_what_is_needed_is_enough(environment):
    settings = read_settings()

    assert settings.database_url.get_secret_value() == "sqlite+aiosqlite:///broker.db"
    assert settings.lease == timedelta(seconds=30)
    assert settings.platforms == ()


def test_each_missing_setting_has_its_own_line(environment):
    environment(DATABASE_URL=None, SEALING_KEYS=None)

    assert faults_of(read_settings) == ("BROKER_DATABASE_URL: is needed", "BROKER_SEALING_KEYS: is needed")


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("postgresql://u:p@h/d", "postgresql+psycopg://u:p@h/d"),
        ("postgres://h/d?sslmode=verify-full", "postgresql+psycopg://h/d?sslmode=verify-full"),
        ("postgresql+psycopg://h/d", "postgresql+psycopg://h/d"),
        ("sqlite:////var/lib/broker.db", "sqlite+aiosqlite:////var/lib/broker.db"),
    ],
)
def test_a_database_url_is_read_as_people_write_it(environment, written, read):
    environment(DATABASE_URL=written)

    assert read_settings().database_url.get_secret_value() == read


@pytest.mark.parametrize("url", ["mysql://h/d", "sqlite://", "sqlite:///:memory:", "nonsense"])
def test_a_database_that_cannot_serve_is_refused(environment, url):
    environment(DATABASE_URL=url)

    assert [fault.split(":")[0] for fault in faults_of(read_settings)] == ["BROKER_DATABASE_URL"]


def not_random(raw):
    return "k:" + base64.b64encode(raw).decode()


def of_bytes(count, key_id="k"):
    """A key that is made the same way each time: the parallel workers must see the same tests."""
    return f"{key_id}:{base64.b64encode(hashlib.sha512(b'a test').digest()[:count]).decode()}"


@pytest.mark.parametrize(
    "key",
    [
        "",
        "no-colon",
        "k:%%%",
        of_bytes(31),
        of_bytes(33),
        not_random(bytes(32)),
        not_random(bytes(range(32))),
        not_random(bytes(range(32))[::-1]),
        not_random(b"\xff" * 32),
        not_random(b"0123456789abcdef0123456789abcdef"),
        not_random(b"correct horse battery staple 123"),
        not_random(b"\x07\xd1\x9a\x3e" * 8),
        of_bytes(32, key_id="k k"),
    ],
)
def test_a_missing_short_or_well_known_sealing_key_is_refused_and_not_shown(environment, key):
    environment(SEALING_KEYS=key)

    faults = faults_of(read_settings)

    assert len(faults) == 1
    assert faults[0].startswith("BROKER_SEALING_KEYS: ")
    assert not key or key.partition(":")[2] == "" or key.partition(":")[2] not in faults[0]


def test_several_sealing_keys_keep_their_order_and_are_not_shown(environment):
    first, second = a_key("new"), a_key("old")
    environment(SEALING_KEYS=f"{first},{second}")

    settings = read_settings()

    assert [key.key_id for key in settings.sealing_keys] == ["new", "old"]
    assert settings.sealing_keys[0].key == base64.b64decode(first.partition(":")[2])
    assert first.partition(":")[2] not in repr(settings)
    assert repr(settings.sealing_keys[0].key) not in repr(settings)


def test_one_key_under_two_names_is_refused(environment):
    key = a_key()
    environment(SEALING_KEYS=f"{key},b:{key.partition(':')[2]}")

    assert faults_of(read_settings) == ("BROKER_SEALING_KEYS: a key id or a key is given twice",)


def test_a_secret_may_come_from_a_file(environment, tmp_path):
    (tmp_path / "url").write_text("postgresql://h/d\n")
    environment(DATABASE_URL=None, DATABASE_URL_FILE=tmp_path / "url")

    assert read_settings().database_url.get_secret_value() == "postgresql+psycopg://h/d"
    assert read_database_settings().database_url.get_secret_value() == "postgresql+psycopg://h/d"


def test_a_secret_given_twice_is_refused(environment, tmp_path):
    environment(DATABASE_URL_FILE=tmp_path / "url")

    assert faults_of(read_settings) == (
        "BROKER_DATABASE_URL: is set together with BROKER_DATABASE_URL_FILE; one of them must go",
    )


def test_a_secret_file_that_is_missing_is_named(environment, tmp_path):
    environment(SEALING_KEYS=None, SEALING_KEYS_FILE=tmp_path / "absent")

    (fault,) = faults_of(read_settings)

    assert fault.startswith("BROKER_SEALING_KEYS_FILE: ")
    assert "No such file" in fault


def test_the_environment_wins_over_the_settings_file(environment, tmp_path):
    (tmp_path / "broker.toml").write_text(
        'port = 9000\nhealth_port = 9001\negress_addresses = ["127.0.0.1"]\n'
    )
    environment(SETTINGS_FILE=tmp_path / "broker.toml", PORT=9002)

    settings = read_settings()

    assert (settings.port, settings.health_port, settings.egress_addresses) == (9002, 9001, ("127.0.0.1",))


@pytest.mark.parametrize("text", ["port = ", 'prot = "8080"'])
def test_a_settings_file_with_a_fault_is_refused(environment, tmp_path, text):
    (tmp_path / "broker.toml").write_text(text)
    environment(SETTINGS_FILE=tmp_path / "broker.toml")

    (fault,) = faults_of(read_settings)

    assert fault.startswith("BROKER_SETTINGS_FILE: ")


def test_a_misspelt_variable_is_named(environment):
    environment(DATABSE_URL="x")

    assert faults_of(read_settings) == ("BROKER_DATABSE_URL: is no setting of the broker",)


def test_the_variables_that_kubernetes_makes_of_a_service_named_broker_are_no_settings(environment):
    environment(
        SERVICE_HOST="10.0.0.1", SERVICE_PORT="80", PORT="tcp://10.0.0.1:80", PORT_80_TCP_ADDR="10.0.0.1"
    )

    assert read_settings().port == 8080


def test_platforms_have_one_or_two_passwords_or_bearer_tokens(environment):
    present, coming, token = (secrets.token_urlsafe(24) for _ in range(3))
    environment(
        PLATFORMS=json.dumps(
            {
                "cluster-a": {"username": "svcat", "passwords": [present, coming]},
                "cluster-b": {"bearer_tokens": [token]},
            }
        )
    )

    first, second = read_settings().platforms

    assert (first.name, first.username, first.passwords) == ("cluster-a", "svcat", (present, coming))
    assert (second.name, second.username, second.bearer_tokens) == ("cluster-b", None, (token,))
    assert present not in repr(first)


@pytest.mark.parametrize(
    "platforms",
    [
        "{",
        "[]",
        {"Upper": {"bearer_tokens": ["x" * 16]}},
        {"a": {}},
        {"a": {"username": "u"}},
        {"a": {"username": "u", "passwords": ["short"]}},
        {"a": {"username": "u:v", "passwords": ["x" * 16]}},
        {"a": {"username": "u", "passwords": ["x" * 16, "y" * 16, "z" * 16]}},
        {"a": {"passwords": ["x" * 16]}},
        {"a": {"bearer_tokens": "x" * 16}},
        {"a": {"bearer_tokens": ["x" * 16], "admin": True}},
        {"a": {"username": "u", "passwords": ["x" * 16]}, "b": {"username": "u", "passwords": ["y" * 16]}},
        {"a": {"bearer_tokens": ["x" * 16]}, "b": {"bearer_tokens": ["x" * 16]}},
    ],
)
def test_platforms_that_could_be_confused_or_guessed_are_refused(environment, platforms):
    environment(PLATFORMS=platforms if isinstance(platforms, str) else json.dumps(platforms))

    (fault,) = faults_of(read_settings)

    assert fault.startswith("BROKER_PLATFORMS: ")
    assert "xxxx" not in fault


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("1.5", 1.5), ("2m", 120), ("90d", 90 * 86400), ("250ms", 0.25), ("PT1H", 3600)],
)
def test_durations_carry_their_unit(environment, text, seconds):
    environment(HISTORY_RETENTION=text)

    assert read_settings().history_retention == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LEASE", "0s"),
        ("LEASE", "soon"),
        ("REQUEST_WAIT", "51s"),
        ("PORT", "70000"),
        ("BROKER_ID", "Upper Case"),
        ("AZURE_CLOUD", "moon"),
        ("AZURE_CA_FILE", "/no/such/file.pem"),
        ("CATALOG_FOLDER", "/no/such/folder"),
        ("AZURE_SUBSCRIPTION_ID", "mine"),
        ("EGRESS_ADDRESSES", "10.0.0.256"),
        ("LISTEN_DATABASE_URL", "postgresql://h/d"),
        ("LOG_LEVEL", "loud"),
    ],
)
def test_a_wrong_value_is_one_line_that_names_the_variable(environment, name, value):
    environment(**{name: value})

    (fault,) = faults_of(read_settings)

    assert fault.startswith(f"BROKER_{name}: ")
    assert "\n" not in fault


def test_settings_that_contradict_each_other_are_named_together(environment, tmp_path):
    (tmp_path / "key.pem").write_text("")
    environment(
        TLS_KEY_FILE=tmp_path / "key.pem", AZURE_CLOUD="custom", AZURE_AUTHENTICATION="client-secret",
        AZURE_TENANT_ID="t", AZURE_CLIENT_ID="c", AZURE_ENDPOINT="https://127.0.0.1:1",
    )  # fmt: skip

    assert faults_of(read_settings) == (
        "BROKER_TLS_CERTIFICATE_FILE: is needed since its other half is set",
        "BROKER_AZURE_SCOPE: is needed by BROKER_AZURE_CLOUD=custom",
        "BROKER_AZURE_AUTHORITY: is needed by BROKER_AZURE_CLOUD=custom",
        "BROKER_AZURE_CLIENT_SECRET: is needed by BROKER_AZURE_AUTHENTICATION=client-secret",
    )


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:1", "https://", "https://user@host", "127.0.0.1"])
def test_azure_is_reached_over_https_only(environment, endpoint):
    environment(
        AZURE_CLOUD="custom", AZURE_ENDPOINT=endpoint, AZURE_SCOPE="s", AZURE_AUTHORITY="https://127.0.0.1:2"
    )

    (fault,) = faults_of(read_settings)

    assert fault.startswith("BROKER_AZURE_ENDPOINT: ")


@pytest.mark.parametrize("proxy", ["http://proxy:3128", "http://user:pass@proxy:3128/", "https://proxy"])
def test_a_proxy_may_need_a_password(environment, proxy):
    environment(AZURE_PROXY=proxy)

    settings = read_settings()

    assert settings.azure_proxy.get_secret_value() == proxy
    assert "pass" not in repr(settings)


@pytest.mark.parametrize(
    "proxy",
    ["proxy:3128", "socks5://u:hidden@proxy", "http://u:hidden@", "http://a/hidden", "http://u:hidden"],
)
def test_what_is_no_proxy_is_refused_and_not_shown(environment, proxy):
    environment(AZURE_PROXY=proxy)

    (fault,) = faults_of(read_settings)

    assert fault == "BROKER_AZURE_PROXY: must be http://host:port or http://user:password@host:port"


@pytest.mark.parametrize(
    "text", ["Microsoft.X/servers=2025-08-01, Microsoft.Y/a/b=2024-01-01-preview",
             '{"Microsoft.X/servers": "2025-08-01", "Microsoft.Y/a/b": "2024-01-01-preview"}'],
)  # fmt: skip
def test_api_versions_are_given_by_type(environment, text):
    environment(AZURE_API_VERSIONS=text)

    assert read_settings().azure_api_versions == {
        "Microsoft.X/servers": "2025-08-01",
        "Microsoft.Y/a/b": "2024-01-01-preview",
    }


@pytest.mark.parametrize(
    "text",
    ["Microsoft.X", "Microsoft.X/a", "Microsoft.X/a=latest", "Microsoft.X/a=2025-08-01,microsoft.x/A=2024-01-01",
     "Microsoft.X/a=2025-08-01,Microsoft.X/a=2024-01-01", "{", '{"Microsoft.X/a": 20250801}', "servers=2025-08-01"],
)  # fmt: skip
def test_api_versions_that_are_none_are_refused(environment, text):
    environment(AZURE_API_VERSIONS=text)

    (fault,) = faults_of(read_settings)

    assert fault.startswith("BROKER_AZURE_API_VERSIONS: ")


def test_migrating_needs_the_database_alone(environment):
    environment(SEALING_KEYS=None, AZURE_AUTHENTICATION=None, BROKER_ID=None)

    assert read_database_settings().database_url.get_secret_value().endswith("broker.db")


def test_a_given_value_wins(environment):
    assert read_settings(port=1234).port == 1234


def operators(**changes):
    token = secrets.token_hex(32)
    return json.dumps({"alice": {"role": "operate", "tokens": [token]} | changes})


def test_operators_have_a_role_and_one_or_two_tokens(environment):
    tokens = [secrets.token_hex(32), secrets.token_hex(32)]
    environment(OPERATORS=operators(tokens=tokens), ADMIN_PORT="8082")

    settings = read_settings()

    assert [(one.name, one.role, list(one.bearer_tokens)) for one in settings.operators] == [
        ("alice", "operate", tokens)
    ]
    assert (settings.admin_host, settings.admin_port) == ("127.0.0.1", 8082)
    assert tokens[0] not in repr(settings)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"role": "admin"}, "'read' or 'operate'"),
        ({"tokens": []}, "one token, or of two"),
        ({"tokens": ["short"]}, "at least 32"),
        ({"tokens": ["a b" * 20]}, "at least 32"),
        ({"tokens": ["ä" * 40]}, "at least 32"),
        ({"tokens": "not a list"}, "one token, or of two"),
        ({"password": "x"}, "allowed are role, tokens"),
    ],
)
def test_an_operator_who_is_written_wrongly_is_refused_without_his_token(environment, changes, says):
    environment(OPERATORS=operators(**changes))

    (fault,) = faults_of(read_settings)

    assert fault.startswith("BROKER_OPERATORS: ")
    assert says in fault


def test_a_token_of_two_operators_or_of_a_platform_too_is_refused(environment):
    token = secrets.token_hex(32)
    both = {name: {"role": "read", "tokens": [token]} for name in ("alice", "bob")}
    environment(OPERATORS=json.dumps(both))
    assert faults_of(read_settings) == ("BROKER_OPERATORS: a token is given twice",)

    environment(OPERATORS=operators(tokens=[token]), PLATFORMS=json.dumps({"cf": {"bearer_tokens": [token]}}))
    assert faults_of(read_settings) == (
        "BROKER_OPERATORS: an operator's token is a platform's password or token too",
    )


def test_a_port_for_operators_without_operators_is_refused(environment):
    environment(ADMIN_PORT="8082")

    assert faults_of(read_settings) == ("BROKER_ADMIN_PORT: is of no use without BROKER_OPERATORS",)
