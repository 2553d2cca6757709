"""How failures of a connection are told, whatever kind of server it is."""

from __future__ import annotations

from broker.data_planes.base import NotTrusted, Refused, Server, Unreachable

_LONGEST_REASON = 200


def first_line(text: str, fault: BaseException | None) -> str:
    """Return what fits into a sentence of a driver's *text*; without any, the name of its *fault*."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (lines[0] if lines else type(fault).__name__)[:_LONGEST_REASON].rstrip(".")


def password_refused(server: Server) -> Refused:
    """The administrator is not let in."""
    return Refused(
        f"The database server {server.host} does not accept the password of {server.administrator!r}; "
        "it was changed by someone else. Set it to the broker's, or reset it through the broker."
    )


def certificate_refused(server: Server, reason: str) -> NotTrusted:
    """It is not proven that it is the server that was asked for."""
    return NotTrusted(
        f"The certificate of the database server {server.host} is not trusted: {reason}. "
        "Check the broker's certificate file and the host name."
    )


def address_refused(server: Server, reason: str) -> Unreachable:
    """A firewall, or the server itself, lets nobody in from here."""
    return Unreachable(
        f"The database server {server.host} refuses the broker's address: {reason}. "
        "A firewall rule must let the broker in.",
        not_reached=True,
    )


def not_reached(server: Server, reason: str) -> Unreachable:
    """No connection came about."""
    return Unreachable(
        f"The database server {server.host} cannot be reached on port {server.port}: {reason}.",
        not_reached=True,
    )


def broken_off(server: Server, reason: str) -> Unreachable:
    """What was sent may have worked or not."""
    return Unreachable(
        f"The connection to the database server {server.host} broke: {reason}.", not_reached=False
    )
