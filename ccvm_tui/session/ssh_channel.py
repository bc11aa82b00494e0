"""Programs in a guest, each on its own channel of the keeper's SSH connection.

The channel connects to the guest's program server (a forwarded unix socket) and not to a shell of sshd. Therefore
arguments and environment are sent as data, of any size and with any bytes, and the program ends with its channel.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Awaitable, Callable

import asyncssh

from ccvm_tui.errors import BootError, TooLong, UserError
from ccvm_tui.guest import TermSize
from ccvm_tui.image.guest.agent import wire
from ccvm_tui.protocol import LOST, SessionSpec
from ccvm_tui.session.channel import INPUT_BACKLOG, Channel, ChannelOwner, Serve
from ccvm_tui.ssh.requests import serve_streams

log = logging.getLogger(__name__)

WINDOW = 4 << 20
"""Bytes of output that the guest may send before they are read."""

SOCKETS = "/run/ccvm/bridge"
"""The directory of the guest's user for sockets on which the keeper listens."""

START_WITHIN = 60.0
"""Seconds for a guest to start a program; generous, because emulated guests are slow and share processors."""


class SshTransport:
    """A transport that starts programs in a guest.

    ``connection`` returns the current SSH connection, and reconnects if the last one was lost. ``environment`` returns
    the environment of a program in the guest for the one that the client has sent.
    """

    def __init__(
        self,
        connection: Callable[[], Awaitable[asyncssh.SSHClientConnection]],
        environment: Callable[[dict[str, str]], dict[str, str]] = lambda given: given,
    ) -> None:
        self._connection = connection
        self._environment = environment

    async def start(self, id: str, spec: SessionSpec, owner: ChannelOwner, *, pty: bool) -> Channel:
        """Start a program in the guest.

        Raises TooLong if its arguments and environment are too long, and UserError if the guest does not start it.
        """
        request = _request(id, spec, self._environment(spec.env), pty=pty)
        program = _Program(owner)
        try:
            async with asyncio.timeout(START_WITHIN):
                connection = await self._connection()
                channel, _ = await connection.create_unix_connection(
                    lambda: program, wire.SOCKET, encoding=None, window=WINDOW
                )
                with contextlib.ExitStack() as on_failure:
                    on_failure.callback(channel.abort)
                    channel.write(wire.frame(wire.START, request))
                    await program.started
                    on_failure.pop_all()
        except TimeoutError as error:
            raise UserError(
                f"the guest did not start the program within {START_WITHIN:.0f} s", "it may be very busy: try again"
            ) from error
        except (asyncssh.Error, OSError) as error:
            raise UserError(
                f"the guest did not start the program: {error}", "try again, or see the guest's log"
            ) from error
        return _SshChannel(channel, program)

    async def listen(self, name: str, serve: Serve) -> SshListener:
        """Listen on a socket in the guest, which its user can connect to. Raises OSError if the guest refuses."""
        path = f"{SOCKETS}/{name}"
        try:
            async with asyncio.timeout(START_WITHIN):
                return SshListener(await serve_streams(await self._connection(), path, serve), path)
        except (BootError, TimeoutError) as error:
            raise ConnectionError("the guest does not answer") from error

    async def close(self) -> None:
        """Do nothing: the connection belongs to the caller."""


class SshListener:
    """A socket in the guest. It ends with the SSH connection."""

    def __init__(self, listener: asyncssh.SSHListener, path: str) -> None:
        self._listener = listener
        self._path = path

    @property
    def path(self) -> str:
        """The path of the socket in the guest."""
        return self._path

    def close(self) -> None:
        """Accept no further connections."""
        self._listener.close()


def _request(id: str, spec: SessionSpec, env: dict[str, str], *, pty: bool) -> bytes:
    """Return the body of a START frame. Raises UserError if arguments or environment are invalid or too long."""
    env = {"TERM": spec.term, **env} if pty else env
    start = wire.Start(
        session=id.encode(),
        kind=spec.kind.value.encode() if pty else b"exec",
        argv=[os.fsencode(argument) for argument in spec.argv],
        env=[(os.fsencode(name), os.fsencode(value)) for name, value in env.items()],
        size=spec.size.exact if pty else None,
    )
    try:
        request = start.pack()
    except wire.WireError as error:
        raise UserError(f"the program cannot be started: {error}") from error
    if len(request) > wire.START_MAX:
        raise TooLong(
            f"the program's arguments and environment have {len(request):,} bytes, which is more than Linux accepts",
            "pass the data in a file or on standard input",
        )
    return request


class _Program(asyncssh.SSHUNIXSession[bytes]):
    """The keeper's end of the connection to the program's supervisor."""

    def __init__(self, owner: ChannelOwner) -> None:
        self._owner = owner
        self._frames = wire.Frames()
        self._channel: asyncssh.SSHUNIXChannel[bytes]
        self._ended_by: signal.Signals | None = None
        self._over = False
        self._input = bytearray()
        self._input_ends = False
        self._credit = wire.INPUT_WINDOW
        self.started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.input_space = asyncio.Event()
        self.input_space.set()

    def connection_made(self, chan: asyncssh.SSHUNIXChannel[bytes]) -> None:
        self._channel = chan

    def data_received(self, data: bytes, _: int | None) -> None:
        try:
            for kind, body in self._frames.feed(data):
                self._dispatch(kind, body)
        except wire.WireError as error:
            log.warning("the guest violated the protocol for programs: %s", error)
            self._channel.abort()

    def _dispatch(self, kind: bytes, body: bytes) -> None:
        """Handle a frame. Raises wire.WireError if it is invalid."""
        match kind:
            case wire.OUTPUT:
                self._owner.output(body, 1)
            case wire.ERRORS:
                self._owner.output(body, 2)
            case wire.TAKEN:
                self._credit = min(self._credit + wire.parse_number(body), wire.INPUT_WINDOW)
                self._send_input()
            case wire.STARTED:
                if not self.started.done():
                    self.started.set_result(None)
            case wire.REFUSED:
                self._fail(UserError(f"the guest did not start the program: {body.decode(errors='replace')[:500]}"))
            case wire.ENDED:
                self._end(wire.parse_number(body) & 0xFF, "")
                self._channel.close()
            case _:
                raise wire.WireError("unknown frame")

    def write(self, data: bytes) -> None:
        if self._over or self._input_ends:
            return
        self._input += data
        self._send_input()

    def write_eof(self) -> None:
        if not self._input_ends and not self._over:
            self._input_ends = True
            self._send_input()

    def _send_input(self) -> None:
        """Send as much input as the window allows. The rest is queued here, so that a signal does not wait for it."""
        while self._input and self._credit:
            piece = bytes(self._input[: min(self._credit, wire.PIECE)])
            del self._input[: len(piece)]
            self._credit -= len(piece)
            self.send(wire.INPUT, piece)
        if self._input_ends and not self._input:
            self.send(wire.END_OF_INPUT)
        if len(self._input) <= INPUT_BACKLOG:
            self.input_space.set()
        else:
            self.input_space.clear()

    def send(self, kind: bytes, body: bytes = b"") -> None:
        with contextlib.suppress(OSError):  # the program has exited, and its end will be reported
            self._channel.write(wire.frame(kind, body))

    def ended_by(self, number: signal.Signals) -> None:
        """Record that the keeper closes the channel, which ends the program with this signal."""
        self._ended_by = self._ended_by or number

    def connection_lost(self, _: Exception | None) -> None:
        if self._ended_by is not None:
            self._end(128 + self._ended_by, "the session was closed")
        else:
            self._end(LOST, "the connection to the guest was lost")
        self._fail(UserError("the guest did not start the program", "try again, or see the guest's log"))

    def _end(self, status: int, reason: str) -> None:
        if not self._over:
            self._over = True
            self._input.clear()
            self.input_space.set()
            if self.started.done() and self.started.exception() is None:
                self._owner.ended(status, reason)

    def _fail(self, error: UserError) -> None:
        if not self.started.done():
            self.started.set_exception(error)
            self.started.exception()  # avoids a warning if the future is never awaited


class _SshChannel:
    def __init__(self, channel: asyncssh.SSHUNIXChannel[bytes], program: _Program) -> None:
        self._channel = channel
        self._program = program

    def write(self, data: bytes) -> None:
        self._program.write(data)

    def write_eof(self) -> None:
        self._program.write_eof()

    def resize(self, size: TermSize) -> None:
        self._program.send(wire.SIZE, wire.pack_size(*size.exact))

    def pause_reading(self) -> None:
        self._channel.pause_reading()

    def resume_reading(self) -> None:
        self._channel.resume_reading()

    def signal(self, number: int) -> None:
        self._program.send(wire.SIGNAL, wire.number(number))

    def hang_up(self) -> None:
        self._program.ended_by(signal.SIGHUP)
        self._channel.abort()

    def kill(self) -> None:
        self._program.ended_by(signal.SIGKILL)
        self._program.send(wire.SIGNAL, wire.number(signal.SIGKILL))
        self._channel.close()

    async def drain(self) -> None:
        await self._program.input_space.wait()
