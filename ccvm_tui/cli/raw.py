"""One session on the user's own terminal: bytes both ways, and the leader key kept out.

Two directions that never wait for each other: a terminal that takes no output (Ctrl+S, a slow line) still
detaches, and a program that reads no input still shows what it prints. What the terminal does not take stays
in the socket, where the keeper notices and skips to the newest screen.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, TypeVar

from ccvm_tui import protocol
from ccvm_tui.cli.keyboard import PAUSE, Action, Command, Keyboard
from ccvm_tui.cli.tty import Tty
from ccvm_tui.client import connection
from ccvm_tui.client.connection import Stream
from ccvm_tui.errors import ProtocolError, UserError

INPUT_BACKLOG = 8 << 20
"""Bytes typed or pasted that may wait for the session before the terminal is no longer read."""

GOODBYE_WITHIN = 1.0
"""Seconds for what was typed just before detaching to get through."""

_ENDING_SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)

T = TypeVar("T")


class How(Enum):
    DETACHED = auto()
    EXITED = auto()
    SIGNALLED = auto()
    HUNG_UP = auto()


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the connection to a session ended. ``status`` is the program's, or the signal's number."""

    how: How
    status: int = 0
    reason: str = ""
    console_tail: str = ""


class RawTerminal:
    """Shows sessions on ``tty``, which is in raw mode already. Use ``show`` as often as wanted, in ``signals``."""

    def __init__(self, tty: Tty, keyboard: Keyboard) -> None:
        self._tty = tty
        self._filter = keyboard
        self._typed = bytearray()
        self._more = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._signalled: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._stream: Stream | None = None

    @contextlib.contextmanager
    def signals(self) -> Iterator[None]:
        """While the block runs, signals that would end us end ``show`` instead, so that the terminal is put back."""
        loop = asyncio.get_running_loop()
        for number in _ENDING_SIGNALS:
            loop.add_signal_handler(number, _resolve, self._signalled, Outcome(How.SIGNALLED, number))
        loop.add_signal_handler(signal.SIGWINCH, self._resized)
        loop.add_signal_handler(signal.SIGCONT, self._continued)
        try:
            yield
        finally:
            for number in (*_ENDING_SIGNALS, signal.SIGWINCH, signal.SIGCONT):
                loop.remove_signal_handler(number)

    async def show(self, guest: str, session: str, *, scrollback: bool) -> Outcome | Command:
        """Until the session ends, a signal comes, or the user presses a key of ours (then that Command).

        Raises NoSuchGuest, NoSuchSession, VersionMismatch, KeeperLost.
        """
        stream = await connection.attach(guest, session, self._tty.size(), scrollback=scrollback)
        self._stream = stream
        done: asyncio.Future[Outcome | Command] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._keyboard(done), name="keyboard"),
                    group.create_task(self._send(stream), name="input"),
                    group.create_task(self._output(stream, done), name="output"),
                ]
                await _first(done, self._signalled)
                for task in tasks:
                    task.cancel()
            if done.done() and isinstance(done.exception() or done.result(), Command):
                await self._say_goodbye(stream)
        finally:
            self._stream = None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GOODBYE_WITHIN):
                    await stream.close()
        return done.result() if done.done() else self._signalled.result()

    async def any_key(self) -> bool:
        """Wait for input, which is thrown away; false when the terminal is gone or a signal came."""
        reading = asyncio.ensure_future(self._tty.read())
        await _first(reading, self._signalled)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        return not self._signalled.done() and bool(reading.result())

    def _resized(self) -> None:
        if self._stream is not None:
            self._stream.send(protocol.Resize(self._tty.size()))

    def _continued(self) -> None:
        self._tty.raw_again()
        self._resized()

    async def _keyboard(self, done: asyncio.Future[Outcome | Command]) -> None:
        while True:
            await self._room.wait()
            try:
                async with asyncio.timeout(PAUSE if self._filter.waiting else None):
                    data = await self._tty.read()
            except TimeoutError:
                self._act(self._filter.idle(), done)
                continue
            if not data:
                _resolve(done, Outcome(How.HUNG_UP))
                return
            self._act(self._filter.feed(data), done)

    def _act(self, actions: list[Action], done: asyncio.Future[Outcome | Command]) -> None:
        for action in actions:
            if isinstance(action, Command):
                _resolve(done, action)
            elif not done.done():
                self._typed += action
                self._more.set()
        if len(self._typed) > INPUT_BACKLOG:
            self._room.clear()

    async def _send(self, stream: Stream) -> None:
        while True:
            await self._more.wait()
            self._more.clear()
            if self._typed:
                data = bytes(self._typed)
                self._typed.clear()
                stream.send(protocol.Input(data))
                with contextlib.suppress(UserError):  # the output side tells why the keeper is gone
                    await stream.drain()
                self._room.set()

    async def _output(self, stream: Stream, done: asyncio.Future[Outcome | Command]) -> None:
        try:
            while True:
                message = await stream.receive()
                if isinstance(message, protocol.Output):
                    await self._tty.write(message.data)
                elif isinstance(message, protocol.Exited):
                    outcome = Outcome(How.EXITED, message.status, message.reason, message.console_tail)
                    _resolve(done, outcome)
                    return
        except OSError:
            _resolve(done, Outcome(How.HUNG_UP))
        except (UserError, ProtocolError) as error:
            if not done.done():
                done.set_exception(error)

    async def _say_goodbye(self, stream: Stream) -> None:
        with contextlib.suppress(TimeoutError, UserError):
            async with asyncio.timeout(GOODBYE_WITHIN):
                if self._typed:
                    stream.send(protocol.Input(bytes(self._typed)))
                    self._typed.clear()
                await stream.drain()


async def _first(*futures: asyncio.Future[Any]) -> None:
    """Until one of them is done; none is cancelled or asked for its result."""
    await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)


def _resolve(done: asyncio.Future[T], result: T) -> None:
    if not done.done():
        done.set_result(result)
