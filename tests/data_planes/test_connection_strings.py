import base64
from urllib.parse import parse_qs, quote, unquote, urlsplit

from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict
from pymongo.uri_parser import parse_uri
from redis.connection import SSLConnection, parse_url

from broker.data_planes.connection_strings import (
    DatabaseAccess,
    ado_net,
    jdbc,
    libpq,
    mongodb,
    mysql_ado_net,
    mysql_jdbc,
    mysql_uri,
    parts_of,
    redis_uri,
    sqlserver_ado_net,
    sqlserver_jdbc,
    sqlserver_uri,
    uri,
)
from broker.data_planes.engines import STRINGS, engine
from broker.domain.databases import DATABASE_KINDS

# Everything a PostgreSQL name or password may hold: any character but NUL and lone surrogates.
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=40)
hosts = st.sampled_from(["server.postgres.database.azure.com", "127.16.0.9", "::1"])
accesses = st.builds(
    DatabaseAccess,
    host=hosts,
    port=st.integers(1, 65535),
    database=texts,
    username=texts,
    password=texts,
)


@given(accesses)
def test_libpq_reads_the_uri_back(access):
    assert conninfo_to_dict(uri(access)) == read_back(access)


@given(accesses)
def test_libpq_reads_its_keywords_back(access):
    assert conninfo_to_dict(libpq(access)) == read_back(access)


@given(accesses)
def test_a_plain_url_parser_reads_the_uri_back(access):
    parts = urlsplit(uri(access))

    assert (parts.hostname, parts.port) == (access.host, access.port)
    assert (unquote(parts.username), unquote(parts.password)) == (access.username, access.password)
    assert unquote(parts.path.removeprefix("/")) == access.database


@given(accesses)
def test_the_jdbc_driver_reads_its_url_back(access):
    # As org.postgresql.Driver.parseURL: the rest after the scheme, cut at the first `?`, arguments at `&`
    # and `=`, path and values decoded.
    server, _, arguments = jdbc(access).removeprefix("jdbc:postgresql://").partition("?")
    place, _, database = server.partition("/")
    host, _, port = place.rpartition(":")
    pairs = dict(argument.split("=", 1) for argument in arguments.split("&"))

    assert (host.strip("[]"), int(port), unquote(database)) == (access.host, access.port, access.database)
    assert {name: unquote(value) for name, value in pairs.items()} == {
        "user": access.username,
        "password": access.password,
        "sslmode": "verify-full",
    }
    assert parse_qs(arguments, keep_blank_values=True, strict_parsing=True)["password"] == [access.password]


@given(accesses)
def test_npgsql_reads_its_string_back(access):
    read = ado_net_read(ado_net(access))

    assert read == {
        "Host": access.host,
        "Port": str(access.port),
        "Database": access.database,
        "Username": access.username,
        "Password": access.password,
        "SSL Mode": "VerifyFull",
    }


@given(accesses)
def test_a_plain_url_parser_reads_sqlservers_uri_back(access):
    # As go-mssqldb does: user and password of the authority, all else of the query.
    parts = urlsplit(sqlserver_uri(access))

    assert (parts.scheme, parts.hostname, parts.port) == ("sqlserver", access.host, access.port)
    assert (unquote(parts.username), unquote(parts.password)) == (access.username, access.password)
    assert parts.path == ""
    assert parse_qs(parts.query, strict_parsing=True) == {
        "database": [access.database],
        "encrypt": ["true"],
        "TrustServerCertificate": ["false"],
    }


@given(accesses)
def test_microsofts_jdbc_driver_reads_its_url_back(access):
    # As com.microsoft.sqlserver.jdbc.Util.parseUrl: after the place, names and values; a value in braces ends at a
    # closing one that is not doubled.
    place, _, properties = sqlserver_jdbc(access).removeprefix("jdbc:sqlserver://").partition(";")
    host, _, port = place.rpartition(":")
    read = {}
    while properties:
        name, _, properties = properties.partition("={")
        value = ""
        while True:
            part, _, properties = properties.partition("}")
            value += part
            if not properties.startswith("}"):
                break
            value, properties = value + "}", properties[1:]
        read[name] = value
        properties = properties.removeprefix(";")

    assert (host.strip("[]"), int(port)) == (access.host, access.port)
    assert read == {
        "databaseName": access.database,
        "user": access.username,
        "password": access.password,
        "encrypt": "true",
        "trustServerCertificate": "false",
    }


@given(accesses)
def test_microsofts_sqlclient_reads_its_string_back(access):
    assert ado_net_read(sqlserver_ado_net(access)) == {
        "Server": f"tcp:{access.host},{access.port}",
        "Database": access.database,
        "User ID": access.username,
        "Password": access.password,
        "Encrypt": "True",
        "TrustServerCertificate": "False",
    }


def test_an_app_without_a_password_signs_in_to_sql_server_as_itself():
    access = DatabaseAccess("sql-x.database.windows.net", 1433, "db_x", "app_x", None)

    parts = urlsplit(sqlserver_uri(access))
    assert (parts.username, parts.password) == (None, None)
    assert parse_qs(parts.query)["fedauth"] == ["ActiveDirectoryDefault"]
    assert "authentication={ActiveDirectoryDefault}" in sqlserver_jdbc(access)
    assert "user=" not in sqlserver_jdbc(access)
    assert ado_net_read(sqlserver_ado_net(access))["Authentication"] == "Active Directory Default"


def read_back(access):
    return {
        "host": access.host,
        "port": str(access.port),
        "dbname": access.database,
        "user": access.username,
        "password": access.password,
        "sslmode": "verify-full",
    }


def ado_net_read(text):
    """The rules of .NET's DbConnectionStringBuilder for values in double quotes."""
    read = {}
    while text:
        name, _, text = text.partition('="')
        value = ""
        while True:
            part, _, text = text.partition('"')
            value += part
            if not text.startswith('"'):
                break
            value, text = value + '"', text[1:]
        read[name] = value
        text = text.removeprefix(";")
    return read


def test_a_password_is_not_shown_with_the_access():
    access = DatabaseAccess("h", 5432, "d", "u", "very secret")

    assert "very secret" not in repr(access)


@given(accesses)
def test_a_plain_url_parser_reads_mysqls_uri_back(access):
    parts = urlsplit(mysql_uri(access))

    assert (parts.scheme, parts.hostname, parts.port) == ("mysql", access.host, access.port)
    assert (unquote(parts.username), unquote(parts.password)) == (access.username, access.password)
    assert unquote(parts.path.removeprefix("/")) == access.database
    assert parse_qs(parts.query) == {"ssl-mode": ["VERIFY_IDENTITY"]}


@given(accesses)
def test_connector_j_reads_its_url_back(access):
    # As com.mysql.cj.conf.ConnectionUrlParser: scheme, authority, path and query by one pattern, each value decoded.
    parts = urlsplit(mysql_jdbc(access).removeprefix("jdbc:"))

    assert (parts.hostname, parts.port) == (access.host, access.port)
    assert unquote(parts.path.removeprefix("/")) == access.database
    pairs = dict(argument.split("=", 1) for argument in parts.query.split("&"))
    assert {name: unquote(value) for name, value in pairs.items()} == {
        "user": access.username,
        "password": access.password,
        "sslMode": "VERIFY_IDENTITY",
    }


@given(accesses)
def test_mysql_connector_of_net_reads_its_string_back(access):
    assert ado_net_read(mysql_ado_net(access)) == {
        "Server": access.host,
        "Port": str(access.port),
        "Database": access.database,
        "User ID": access.username,
        "Password": access.password,
        "SSL Mode": "VerifyFull",
    }


def test_plans_are_told_of_the_strings_that_there_are():
    assert {kind: set(strings) for kind, strings in STRINGS.items()} == {
        kind: set(said.connection_strings) for kind, said in DATABASE_KINDS.items()
    }
    for kind in DATABASE_KINDS:
        assert engine(kind).LONGEST_USERNAME >= 32


@given(host=hosts, port=st.integers(1, 65535), password=texts)
def test_redis_py_reads_from_the_uri_what_went_into_it(host, port, password):
    read = parse_url(redis_uri(host, port, password))

    assert (read["host"], read["port"], read["password"], read["db"]) == (host, port, password, 0)
    assert "username" not in read
    assert read["connection_class"] is SSLConnection


# As Azure writes it; a key is base64, and stands there with its slashes or encoded.
AZURES_OPTIONS = "ssl=true&replicaSet=globaldb&retrywrites=false&maxIdleTimeMS=120000&appName=@shop@"
keys = st.binary(min_size=64, max_size=64).map(lambda key: base64.b64encode(key).decode())


@given(keys, st.booleans())
def test_mongodbs_driver_reads_the_uri_of_an_account_whatever_its_key(key, encoded):
    written = quote(key, safe="") if encoded else key
    azures = f"mongodb://shop:{written}@shop.mongo.cosmos.azure.com:10255/?{AZURES_OPTIONS}"

    read = parse_uri(mongodb(azures))

    assert (read["username"], read["password"], read["database"]) == ("shop", key, None)
    assert read["nodelist"] == [("shop.mongo.cosmos.azure.com", 10255)]
    assert (read["options"]["tls"], read["options"]["appname"]) == (True, "@shop@")
    assert parts_of(azures)["password"] == key


@given(keys, texts, texts)
def test_mongodbs_driver_reads_the_uri_of_a_user_of_its_own(key, username, password):
    azures = f"mongodb://shop:{key}@shop.mongo.cosmos.azure.com:10255/?{AZURES_OPTIONS}"

    uri_of_its_own = mongodb(azures, username=username, password=password, database="db-1")

    read = parse_uri(uri_of_its_own)
    assert (read["username"], read["password"], read["database"]) == (username, password, "db-1")
    assert (read["options"]["authSource"], read["options"]["authMechanism"]) == ("db-1", "SCRAM-SHA-256")
    assert quote(key, safe="") not in uri_of_its_own
