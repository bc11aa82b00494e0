"""The keeper's SSH connection to its guest, which is established again if it breaks."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ccvm_tui.aio import Background

if TYPE_CHECKING:  # slow to import; imported while the guest's kernel starts
    import asyncssh

    from ccvm_tui.ssh.keys import GuestKeys

log = logging.getLogger(__name__)

PORT_FREE_TIMEOUT = 5.0
"""Seconds within which the guest must notice the end of an SSH connection. Until then, a new connection would reach the
previous SSH server."""


class Login:
    """The login of ``user`` over the unix socket ``path``. ``keys`` must be set before the first ``connection``.

    ``on_connect`` is run in the background after each login. ``port_free`` is set when the guest reports that a new
    connection will reach a new server.
    """

    keys: GuestKeys

    def __init__(self, path: Path, user: str, tasks: Background) -> None:
        self._path = path
        self._user = user
        self._tasks = tasks
        self._ssh: asyncio.Task[asyncssh.SSHClientConnection] | None = None
        self._socket: socket.socket | None = None
        self.on_connect: Callable[[asyncssh.SSHClientConnection], Coroutine[Any, Any, None]] | None = None
        self.port_free = asyncio.Event()
        self.port_free.set()

    async def connection(self) -> asyncssh.SSHClientConnection:
        """Return the SSH connection, and reconnect if it broke. Raises BootError if that fails."""
        if self._ssh is None:
            self._ssh = self._tasks.start(self._connect_ssh(), "login")
        # all callers share one attempt, so the cancellation of one caller must not cancel it
        return await asyncio.shield(self._ssh)

    async def _connect_ssh(self) -> asyncssh.SSHClientConnection:
        from ccvm_tui.ssh import connection

        try:
            async with asyncio.timeout(PORT_FREE_TIMEOUT):
                await self.port_free.wait()
        except TimeoutError:
            log.warning("the guest did not report that its SSH port is free; connecting anyway")
        self.port_free.clear()
        with contextlib.ExitStack() as on_failure:
            on_failure.callback(self._forget_attempt, asyncio.current_task())
            connected = await connection.connect(
                self._path, self._user, self.keys, lambda _: self._forget_connection(), self._keep_socket
            )
            on_failure.pop_all()
        if self.on_connect is not None:
            self._tasks.start(self.on_connect(connected), "after the login")
        return connected

    def _forget_attempt(self, attempt: asyncio.Task[Any] | None) -> None:
        if self._ssh is attempt:
            self._ssh = None

    def _keep_socket(self, sock: socket.socket) -> None:
        self._socket = sock

    def _forget_connection(self) -> None:
        self._ssh = None

    def close(self) -> None:
        """Close the SSH connection, even if it is still being established."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def set_keepalive(self, every: float) -> None:
        """Set the seconds between keepalive messages, 0 for none, if there is a connection."""
        connecting = self._ssh
        if (
            connecting is not None
            and connecting.done()
            and not connecting.cancelled()
            and connecting.exception() is None
        ):
            connecting.result().set_keepalive(every)
