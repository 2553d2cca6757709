"""The names of the demo's steps, in order, and how each can be sabotaged."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """One step: *title* says what is seen, *sabotage* what `--break` does so that it must not be seen."""

    name: str
    title: str
    sabotage: str


STEPS = (
    Step(
        "start",
        "Migrate an empty SQLite database and start broker and Azure.",
        "the migrations are left out.",
    ),
    Step("catalog", "Read the catalog.", "the platform shows a wrong password."),
    Step("server", "Order a PostgreSQL server; Azure begins to create it.", "Azure refuses the deployment."),
    Step(
        "crash",
        "Kill the broker while Azure works, start it again: the same operation ends, with one deployment.",
        "a second deployment is begun behind the broker's back.",
    ),
    Step("database", "Order two databases on that server.", "Azure fails their deployments."),
    Step(
        "bind",
        "Bind it: a login of its own, with credentials.",
        "the request names a parameter that is not offered.",
    ),
    Step(
        "connect",
        "Connect with the credentials and use the database.",
        "somebody closes the server's firewall.",
    ),
    Step(
        "refusals",
        "Refused: a wrong password, no TLS, another CA, another database.",
        "the right password is tried for the wrong one.",
    ),
    Step(
        "second",
        "Bind again: a second login that sees the first one's table.",
        "the first binding's id is used again.",
    ),
    Step("unbind", "Unbind the first: its login is refused, the second works.", "the unbinding is left out."),
    Step("update", "Let the server grow.", "the update is left out."),
    Step(
        "secrets",
        "No password stands in the store or in a log.",
        "a password is written into the broker's log.",
    ),
    Step("deprovision", "Deprovision database and server.", "one database is left out."),
    Step(
        "nothing",
        "Nothing is left, in Azure or in the store.",
        "Azure holds one more resource with the broker's tags.",
    ),
)
