"""Forwarded ports: listeners on the host's loopback interface whose connections lead to ports of the guest."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
from collections.abc import Awaitable, Callable

from ccvm_tui.aio import Background, ByteReader, ByteWriter
from ccvm_tui.errors import UserError
from ccvm_tui.guest import Forward

log = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
"""The only address on which the keeper listens."""

FORWARDS_MAX = 100
"""Maximum number of forwarded ports of a guest."""

LISTENING_MAX = 100
"""Listening ports of a guest that are reported."""

PORT_MAX = 65535
_UNPRIVILEGED = 1024
_CHUNK = 1 << 16


def valid_ports(ports: object) -> tuple[int, ...]:
    """Return the valid ports in a list that a guest has sent."""
    if not isinstance(ports, list):
        return ()
    return tuple(port for port in ports[:LISTENING_MAX] if type(port) is int and 0 < port <= PORT_MAX)


Connection = tuple[ByteReader, ByteWriter]


class Forwards:
    """The forwarded ports of one guest.

    ``connect`` connects to a port of the guest, and raises OSError if that fails. ``changed`` is called after changes
    of ``all``.
    """

    def __init__(self, connect: Callable[[int], Awaitable[Connection]], changed: Callable[[], None]) -> None:
        self._connect = connect
        self._changed = changed
        self._servers: dict[Forward, asyncio.Server] = {}
        self._connections = Background("forwarded connections")

    def all(self) -> tuple[Forward, ...]:
        """Return all forwarded ports."""
        return tuple(sorted(self._servers, key=lambda forward: (forward.guest, forward.host)))

    async def add(self, guest: int, host: int = 0) -> Forward:
        """Forward the port ``host`` of the host, or a free port if it is 0, to the port ``guest`` of the guest.

        The free port is the same number if possible. Raises UserError if a port is not valid or not available.
        """
        if not 0 < guest <= PORT_MAX or not 0 <= host <= PORT_MAX:
            raise UserError("not a port", f"ports are numbers from 1 to {PORT_MAX}")
        for forward in self._servers:
            if forward.guest == guest and host in (0, forward.host):
                return forward
        if len(self._servers) >= FORWARDS_MAX:
            raise UserError(f"{FORWARDS_MAX} ports are forwarded already", "`ccvm-tui forward --remove` removes one")
        server = await self._listen(guest, host)
        forward = Forward(guest, server.sockets[0].getsockname()[1])
        self._servers[forward] = server
        self._changed()
        return forward

    async def _listen(self, guest: int, host: int) -> asyncio.Server:
        wanted = [host] if host else [*([guest] if guest >= _UNPRIVILEGED else []), 0]
        for port in wanted:
            try:
                return await asyncio.start_server(lambda *streams: self._accept(guest, *streams), LOOPBACK, port)
            except OSError as error:
                if error.errno != errno.EADDRINUSE or port == wanted[-1]:
                    raise UserError(
                        f"port {port} of this machine is not available: {error.strerror}", "choose another one"
                    ) from error
        raise AssertionError("unreachable")

    def remove(self, host: int) -> Forward:
        """End the forwarding of the port ``host`` of the host, and close its connections' listener.

        Raises UserError if the port is not forwarded.
        """
        for forward, server in self._servers.items():
            if forward.host == host:
                server.close()
                del self._servers[forward]
                self._changed()
                return forward
        raise UserError(f"port {host} of this machine is not forwarded", "`ccvm-tui forward GUEST` lists the ports")

    async def close(self) -> None:
        """Remove all forwarded ports and close their connections."""
        for server in self._servers.values():
            server.close()
        self._servers.clear()
        await self._connections.close()

    def _accept(self, guest: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.start(self._serve(guest, reader, writer), f"port {guest}")

    async def _serve(self, guest: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            theirs_in, theirs_out = await self._connect(guest)
        except (OSError, UserError, TimeoutError) as error:
            log.info("cannot connect to port %d of the guest: %s", guest, error)
            writer.transport.abort()
            return
        try:
            async with asyncio.TaskGroup() as directions:
                directions.create_task(_pump(reader, theirs_out))
                directions.create_task(_pump(theirs_in, writer))
        except* OSError:
            writer.transport.abort()
        finally:
            writer.close()
            theirs_out.close()


async def _pump(source: ByteReader, sink: ByteWriter) -> None:
    while data := await source.read(_CHUNK):
        sink.write(data)
        await sink.drain()
    with contextlib.suppress(OSError):
        sink.write_eof()
