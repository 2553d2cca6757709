"""From a database server's name to its addresses, and to a connection."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence

from broker.data_planes.base import Server, ServerGone, Unreachable
from broker.data_planes.failures import first_line


async def addresses_of(server: Server) -> list[str]:
    """
    Resolve the server's name here, where an unknown name can be told from a server that does not answer.

    Raises:
        ServerGone: DNS knows no such name.
        Unreachable: DNS did not answer.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(server.connect_timeout.total_seconds()):
            found = await loop.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM)
    except TimeoutError as error:
        raise Unreachable(
            f"The name of the database server {server.host} was not resolved in time.", not_reached=True
        ) from error
    except socket.gaierror as error:
        unknown = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}
        if error.errno in unknown:
            raise ServerGone(f"DNS knows no database server {server.host}.") from error
        raise Unreachable(
            f"The name of the database server {server.host} could not be resolved.", not_reached=True
        ) from error
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def reached(server: Server, addresses: Sequence[str]) -> socket.socket:
    """
    Connect to the first of *addresses* that answers. Blocks, for the server's `connect_timeout` at each.

    Raises:
        Unreachable: None of them does.
    """
    fault: OSError | None = None
    for address in addresses:
        try:
            found = socket.create_connection(
                (address, server.port), timeout=server.connect_timeout.total_seconds()
            )
        except OSError as error:
            fault = error
        else:
            found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return found
    raise Unreachable(
        f"The database server {server.host} cannot be reached on port {server.port}: "
        f"{first_line(str(fault or ''), fault)}. A firewall rule must let the broker in.",
        not_reached=True,
    ) from fault
