"""From a database server's name to its addresses."""

from __future__ import annotations

import asyncio
import socket

from broker.data_planes.base import Server, ServerGone, Unreachable


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
