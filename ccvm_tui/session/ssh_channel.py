"""Programs in a guest, each a channel of the keeper's one SSH connection to it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shlex
import signal
from collections.abc import Awaitable, Callable

import asyncssh

from ccvm_tui.errors import UserError
from ccvm_tui.guest import TermSize
from ccvm_tui.protocol import SessionSpec
from ccvm_tui.session.channel import INPUT_BACKLOG, LOST, Channel, ChannelOwner

log = logging.getLogger(__name__)

LAUNCHER = "/usr/lib/ccvm/session"
"""The guest's side of a session: sets directory and terminal up, then becomes the program."""

WINDOW = 4 << 20
"""Bytes of output that may be under way before the guest has to wait for us."""

START_WITHIN = 60.0
"""Seconds for a guest to start a program; generous, since emulated guests share their processors."""

_DATA_STDERR = asyncssh.EXTENDED_DATA_STDERR


class SshTransport:
    """``connection`` gives the connection of the moment, made again when the last one broke."""

    def __init__(self, connection: Callable[[], Awaitable[asyncssh.SSHClientConnection]]) -> None:
        self._connection = connection

    async def start(self, id: str, spec: SessionSpec, owner: ChannelOwner, *, pty: bool) -> Channel:
        kind = spec.kind.value if pty else "exec"
        command = shlex.join([LAUNCHER, id, kind, *spec.argv])
        program = _Program(owner)
        environment: dict[bytes | str, bytes | str] = {name: value for name, value in spec.env.items()}  # noqa: C416 - the key type widens
        try:
            async with asyncio.timeout(START_WITHIN):
                connection = await self._connection()
                channel, _ = await connection.create_session(
                    lambda: program,
                    command,
                    env=environment,
                    request_pty=pty,
                    term_type=spec.term if pty else None,
                    term_size=spec.size.exact if pty else (),
                    # all others are as the kernel makes them; without this one, erasing removes half a character
                    term_modes={asyncssh.PTY_IUTF8: 1} if pty else {},
                    encoding=None,
                    window=WINDOW,
                    x11_forwarding=False,
                )
        except TimeoutError as error:
            raise UserError(
                f"the guest did not start the program within {START_WITHIN:.0f} s", "it may be very busy: try again"
            ) from error
        except (asyncssh.Error, OSError) as error:
            raise UserError(f"the guest did not start the program: {error}", "try again, or see its log") from error
        return _SshChannel(channel, program)

    async def close(self) -> None:
        """The connection belongs to whoever gave it."""


class _Program(asyncssh.SSHClientSession[bytes]):
    def __init__(self, owner: ChannelOwner) -> None:
        self._owner = owner
        self._status: int | None = None
        self._ended_by: signal.Signals | None = None
        self.room = asyncio.Event()
        self.room.set()

    def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
        chan.set_write_buffer_limits(high=INPUT_BACKLOG)

    def pause_writing(self) -> None:
        self.room.clear()

    def resume_writing(self) -> None:
        self.room.set()

    def data_received(self, data: bytes, datatype: int | None) -> None:
        self._owner.output(data, 2 if datatype == _DATA_STDERR else 1)

    def exit_status_received(self, status: int) -> None:
        self._status = status

    def exit_signal_received(self, signal: str, core_dumped: bool, msg: str, lang: str) -> None:
        self._status = 128 + _signal_number(signal)

    def ended_by(self, number: signal.Signals) -> None:
        """The channel is closed from this side, which ends the program with this signal."""
        self._ended_by = self._ended_by or number

    def connection_lost(self, exc: Exception | None) -> None:
        self.room.set()
        if self._status is not None:
            self._owner.ended(self._status, "")
        elif self._ended_by is not None:
            self._owner.ended(128 + self._ended_by, "the session was closed")
        else:
            self._owner.ended(LOST, "the connection to the guest was lost")


class _SshChannel:
    def __init__(self, channel: asyncssh.SSHClientChannel[bytes], program: _Program) -> None:
        self._channel = channel
        self._program = program

    def write(self, data: bytes) -> None:
        with contextlib.suppress(OSError):  # the program is gone; its end is on its way
            self._channel.write(data)

    def write_eof(self) -> None:
        with contextlib.suppress(OSError):
            self._channel.write_eof()

    def resize(self, size: TermSize) -> None:
        with contextlib.suppress(OSError):
            self._channel.change_terminal_size(*size.exact)

    def hold(self) -> None:
        self._channel.pause_reading()

    def release(self) -> None:
        self._channel.resume_reading()

    def hang_up(self) -> None:
        self._program.ended_by(signal.SIGHUP)
        with contextlib.suppress(OSError):
            self._channel.close()

    def kill(self) -> None:
        self._program.ended_by(signal.SIGKILL)
        with contextlib.suppress(OSError):
            self._channel.kill()
            self._channel.close()

    async def room(self) -> None:
        await self._program.room.wait()


def _signal_number(name: str) -> int:
    try:
        return signal.Signals[f"SIG{name}"].value
    except KeyError:
        return 0


async def closed(connection: asyncssh.SSHClientConnection, within: float) -> None:
    """Close ``connection`` and wait for its end, but not for ever: the guest may be gone already."""
    connection.close()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within):
            await connection.wait_closed()
    connection.abort()
