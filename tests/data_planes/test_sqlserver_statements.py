"""
The statements that the broker sends to Azure SQL databases. No SQL Server can be had here to judge them: a grammar of
Transact-SQL does (sqlfluff's), and of names and passwords a reader of its quoting (sqlglot's).
"""

from uuid import UUID

import pytest
import sqlglot
from hypothesis import given
from hypothesis import strategies as st
from sqlfluff.core import FluffConfig, Linter
from sqlglot.tokens import TokenType

from broker.data_planes import sqlserver, sqlserver_statements
from broker.data_planes.base import EntraPrincipal, Server
from broker.data_planes.secrets import generated_password, generated_username

CLIENT = UUID("0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9")
GRAMMAR = Linter(config=FluffConfig(overrides={"dialect": "tsql"}))
# Any character that a name or a password may hold, those that end quotes more often than others.
words = st.text(
    st.sampled_from("[]';") | st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=60
)

# What sqlfluff's grammar lacks, each as the Transact-SQL reference has it, and what it knows instead.
LACKING = [
    ("ALTER USER", "CREATE USER"),
    ("KILL 57;", "SELECT 57;"),
    ("PASSWORD = N'", "PASSWORD = '"),
    ("TYPE = E, ", ""),
    ("TYPE = X, ", ""),
]


def unparsed(statement):
    for lacking, known in LACKING:
        statement = statement.replace(lacking, known)
    return [str(violation) for violation in GRAMMAR.parse_string(statement).violations]


@pytest.mark.proves("azure-sql", "bind password", "bind entra")
@pytest.mark.proves("azure-sql-database", "bind password", "bind entra")
@pytest.mark.proves("azure-sql-database-from-existing", "bind password", "bind entra")
@pytest.mark.parametrize(
    "statement",
    [
        sqlserver_statements.create_user("app_x", "pass-word~1", ["db_owner"]),
        sqlserver_statements.create_user("app_x", "it's", ["db_datareader", "db_datawriter"]),
        sqlserver_statements.create_entra_user("app_x", CLIENT, "E", ["db_owner"]),
        sqlserver_statements.create_entra_user("app_x", CLIENT, "X", ["db_datareader"]),
        sqlserver_statements.lock_password("app_x", "pass-word~1"),
        sqlserver_statements.shut_out("app_x"),
        sqlserver_statements.drop_user("app_x"),
        sqlserver_statements.find_user("app_x"),
        sqlserver_statements.find_users(),
        sqlserver_statements.find_database("db_x"),
        sqlserver_statements.find_sessions("app_x"),
        sqlserver_statements.find_owned("app_x"),
        sqlserver_statements.end_session(57),
        sqlserver_statements.hand_over("SCHEMA", None, "sales"),
        sqlserver_statements.hand_over("ROLE", None, "clerks"),
        sqlserver_statements.hand_over("OBJECT", "sales", "orders"),
        sqlserver_statements.hand_over("TYPE", "sales", "money"),
    ],
)
def test_a_grammar_of_transact_sql_reads_each_statement(statement):
    assert unparsed(statement) == []
    assert unparsed(statement + " NONSENSE HERE )") != [], "the grammar is one that can refuse"


def tokens(statement):
    return [(token.token_type, token.text) for token in sqlglot.tokenize(statement, dialect="tsql")]


def read_as(statement, kind):
    return [text for token, text in tokens(statement) if token == kind]


@given(words, words)
def test_no_name_and_no_password_ends_its_quotes(name, password):
    statement = sqlserver_statements.create_user(name, password, ["db_owner"])

    plain = sqlserver_statements.create_user("n", "p", ["db_owner"])
    assert [kind for kind, _ in tokens(statement)] == [kind for kind, _ in tokens(plain)]
    assert name in read_as(statement, TokenType.IDENTIFIER) or name in [t for _, t in tokens(statement)]
    assert read_as(statement, TokenType.NATIONAL_STRING) == [name, password, password]


@given(words, words)
def test_what_an_app_called_its_own_is_handed_over_by_that_name(above, name):
    statement = sqlserver_statements.hand_over("OBJECT", above, name)

    plain = sqlserver_statements.hand_over("OBJECT", "s", "n")
    assert [kind for kind, _ in tokens(statement)] == [kind for kind, _ in tokens(plain)]
    assert read_as(statement, TokenType.IDENTIFIER)[:2] == [above, name]


def test_a_client_id_becomes_the_identifier_that_windows_would_make_of_it():
    assert sqlserver_statements.sid_of(CLIENT) == "0x3D2C1B0A5F4E71608293A4B5C6D7E8F9"


@pytest.mark.parametrize(
    "roles", [[], ["sysadmin"], ["db_owner", "db_owner] ADD MEMBER [guest"], ["DB_OWNER"]]
)
def test_a_role_that_is_no_fixed_one_of_the_database_is_refused(roles):
    with pytest.raises(ValueError, match="is no fixed role of a database"):
        sqlserver_statements.create_user("app_x", "p", roles)


def test_the_passwords_and_names_that_the_broker_draws_pass_azures_rules():
    # 8 to 128 characters of three classes of four, without the name in it (SQL Server manual, "Password policy").
    name = generated_username("app", "key", longest=sqlserver.LONGEST_USERNAME)

    for _ in range(50):
        password = generated_password()

        assert 8 <= len(password) <= 128
        assert name not in password
        assert ";" not in password


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["dbo", "osb_administrator", "app_x", "app_" + "a" * 32 + "]", ""])
async def test_a_user_that_is_not_the_brokers_is_neither_made_nor_dropped(name):
    server = Server("sql-x.invalid", 1433, "osb_administrator", "p")

    with pytest.raises(ValueError, match="is no login of the broker's"):
        await sqlserver.drop_login(server, "db_x", username=name)
    with pytest.raises(ValueError, match="is no login of the broker's"):
        await sqlserver.create_login(server, "db_x", username=name, password="p")


@pytest.mark.anyio
async def test_an_application_without_a_client_id_gets_no_user():
    server = Server("sql-x.invalid", 1433, "osb_administrator", "p")

    with pytest.raises(ValueError, match="by its client id"):
        await sqlserver.create_entra_login(
            server,
            "db_x",
            username="app_" + "a" * 32,
            principal=EntraPrincipal(str(CLIENT)),
            administrator=server,
        )


class Told:
    """Notes what is sent, and answers questions as a test says."""

    def __init__(self, answers):
        self.sent = []
        self.answers = answers

    def run(self, statement):
        self.sent.append(statement)

    def rows(self, question):
        self.sent.append(question)
        return self.answers.pop(0)


@pytest.mark.proves("azure-sql-database-from-existing", "revoke password (driver only)")
@pytest.mark.proves("azure-sql", "revoke entra (driver only)")
@pytest.mark.proves("azure-sql-database", "revoke entra (driver only)")
@pytest.mark.proves("azure-sql-database-from-existing", "revoke entra (driver only)")
def test_a_user_is_shut_out_before_its_sessions_end_and_dropped_last():
    name = "app_" + "a" * 32
    session = Told([[(7,)], [(57,), (61,)], [], [("SCHEMA", None, "sales")]])

    sqlserver._drop(session, Server("h", 1433, "a", "p"), name)

    assert [" ".join(statement.split()[:2]) for statement in session.sent] == [
        "SELECT principal_id",
        "IF EXISTS",
        "IF DATABASE_PRINCIPAL_ID(N'" + name + "')",
        "SELECT s.session_id",
        "KILL 57;",
        "KILL 61;",
        "SELECT s.session_id",
        "SELECT 'SCHEMA'",
        "ALTER AUTHORIZATION",
        "DROP USER",
    ]
    assert "ALTER USER" in session.sent[1]
    assert "DENY CONNECT" in session.sent[2]


def test_a_user_that_is_gone_is_asked_for_and_no_more():
    session = Told([[]])

    sqlserver._drop(session, Server("h", 1433, "a", "p"), "app_" + "a" * 32)

    assert len(session.sent) == 1
