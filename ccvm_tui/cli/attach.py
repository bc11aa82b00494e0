"""A session attached to this terminal: bytes in both directions, the leader's commands, and the terminal's restoration.

The two directions never wait for each other. A terminal that accepts no output (Ctrl+S, a slow line) can still detach,
and the output of a program that reads no input is still shown. Output that the terminal does not accept stays in the
socket. The keeper notices that, and sends the newest screen instead.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, TypeVar

from ccvm_tui import bridging, protocol
from ccvm_tui.aio import Background
from ccvm_tui.cli import host_modes
from ccvm_tui.cli.keyboard import PAUSE, Action, Command, Keyboard
from ccvm_tui.cli.tty import Tty
from ccvm_tui.client import connection, images
from ccvm_tui.client.connection import Stream
from ccvm_tui.config import Settings
from ccvm_tui.errors import KeeperLost, ProtocolError, UserError
from ccvm_tui.protocol import LOST

INPUT_BACKLOG = 8 << 20
"""Bytes of unsent input above which the terminal is not read."""

CLOSED_WITHIN = 1.0
"""Seconds to send the input that was typed before detaching, and to close the connection."""

QUIET = 0.2
"""Seconds without output after which a notification can be written to the terminal."""

HUNG_UP_STATUS = 128 + signal.SIGHUP
"""The exit status after the terminal was closed."""

_END_SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)

T = TypeVar("T")


class Ending(Enum):
    """The cause of the end of an attached session."""

    DETACHED = auto()
    """The user has detached."""
    EXITED = auto()
    """The session's program has ended."""
    SIGNALLED = auto()
    """This process has received a signal."""
    HUNG_UP = auto()
    """The terminal was closed."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of an attached session.

    ``status`` is the program's exit status or the signal's number. ``reason`` and ``console_tail`` are the keeper's
    explanation, if the program did not exit normally.
    """

    ending: Ending
    status: int = 0
    reason: str = ""
    console_tail: str = ""


async def attach(guest: str, session: str, settings: Settings, *, scrollback: bool = True) -> Outcome:
    """Show ``session`` on this terminal until it ends or the user detaches, and restore the terminal.

    With ``scrollback`` the session's scrollback is printed first. Raises UserError if there is no terminal, if the
    session cannot be attached, or if the connection to its keeper is lost.
    """
    tty = Tty()
    try:
        keys = {settings.keys.zoom: "detach", settings.keys.detach: "detach", settings.keys.help: "help"}
        terminal = _AttachedTerminal(tty, Keyboard(settings.leader, keys), notifications=settings.notifications)
        with terminal.signals(), tty.raw():
            restore = host_modes.restore_below
            tty.write_now(host_modes.SAVE)
            try:
                outcome = await _until_detached(terminal, tty, guest, session, settings, scrollback)
                if outcome.ending is Ending.EXITED and outcome.status != LOST:
                    restore = host_modes.restore
                elif outcome.ending is not Ending.EXITED:
                    tty.discard_output()
            finally:
                with contextlib.suppress(OSError):  # the terminal may have been closed
                    tty.write_now(restore(tty.size().cols))
    finally:
        tty.close()
    return outcome


def report_outcome(guest: str, session: str, outcome: Outcome) -> int:
    """Print the outcome to standard error, unless the program has exited normally, and return the exit status."""
    match outcome.ending:
        case Ending.DETACHED:
            _print(f"[detached from {guest}/{session}; `ccvm-tui attach {guest}/{session}` returns to it]")
            return 0
        case Ending.SIGNALLED:
            return 128 + outcome.status
        case Ending.HUNG_UP:
            return HUNG_UP_STATUS
    if outcome.reason:
        _print(f"[{guest}/{session}: {outcome.reason}]")
        if outcome.console_tail:
            _print("The last lines of the guest's console:")
            _print(outcome.console_tail.rstrip())
    return KeeperLost.exit_status if outcome.status == LOST else outcome.status


async def _until_detached(
    terminal: _AttachedTerminal, tty: Tty, guest: str, session: str, settings: Settings, scrollback: bool
) -> Outcome:
    while True:
        result = await terminal.show(guest, session, scrollback=scrollback)
        if isinstance(result, Outcome):
            return result
        if result == Command("detach"):
            return Outcome(Ending.DETACHED)
        scrollback = False  # it has been printed already
        tty.write_now(host_modes.BLANK + _help(guest, session, settings))
        if not await terminal.any_key():
            return Outcome(Ending.HUNG_UP)


def _help(guest: str, session: str, settings: Settings) -> bytes:
    leader, keys = settings.leader, settings.keys
    lines = [
        f"{guest}/{session}",
        "",
        f"All keys are sent to the session, except {leader}. After {leader}:",
        "",
        f"  {keys.detach:8} detach; `ccvm-tui attach {guest}/{session}` returns to the session",
        f"  {leader:8} send {leader} to the session",
        f"  {keys.help:8} show this help",
        "  Esc      do nothing",
        "",
        "Press any key to return to the session.",
    ]
    return "\r\n".join(lines).encode()


class _AttachedTerminal:
    """Sessions on ``tty``, which is in raw mode. ``show`` can be called repeatedly within ``signals``."""

    def __init__(self, tty: Tty, keyboard: Keyboard, *, notifications: bool) -> None:
        self._tty = tty
        self._notifications = notifications
        self._last_output = 0.0
        self._background = Background("attached terminal")
        self._keyboard = keyboard
        self._input = bytearray()
        self._input_added = asyncio.Event()
        self._input_space = asyncio.Event()
        self._input_space.set()
        self._signalled: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._stream: Stream | None = None

    @contextlib.contextmanager
    def signals(self) -> Iterator[None]:
        """Within the block, signals that would end this process end ``show``, so that the terminal can be restored."""
        loop = asyncio.get_running_loop()
        for number in _END_SIGNALS:
            loop.add_signal_handler(number, _resolve, self._signalled, Outcome(Ending.SIGNALLED, number))
        loop.add_signal_handler(signal.SIGWINCH, self._resized)
        loop.add_signal_handler(signal.SIGCONT, self._continued)
        try:
            yield
        finally:
            for number in (*_END_SIGNALS, signal.SIGWINCH, signal.SIGCONT):
                loop.remove_signal_handler(number)

    async def show(self, guest: str, session: str, *, scrollback: bool) -> Outcome | Command:
        """Show a session until it ends, a signal arrives, or the user selects a command, which is returned.

        Raises NoSuchGuest, NoSuchSession, VersionMismatch or KeeperLost if the session cannot be shown.
        """
        stream = await connection.attach(guest, session, self._tty.size(), scrollback=scrollback)
        self._stream = stream
        done: asyncio.Future[Outcome | Command] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._read_keyboard(done), name="keyboard"),
                    group.create_task(self._send_input(stream), name="input"),
                    group.create_task(self._show_output(stream, done), name="output"),
                ]
                await _first(done, self._signalled)
                for task in tasks:
                    task.cancel()
            if done.done() and isinstance(done.exception() or done.result(), Command):
                await self._send_rest(stream)
        finally:
            self._stream = None
            await self._background.close()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSED_WITHIN):
                    await stream.close()
        return done.result() if done.done() else self._signalled.result()

    async def any_key(self) -> bool:
        """Wait for input and discard it. Return False if the terminal was closed or a signal has arrived."""
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

    async def _read_keyboard(self, done: asyncio.Future[Outcome | Command]) -> None:
        while True:
            await self._input_space.wait()
            try:
                async with asyncio.timeout(PAUSE if self._keyboard.waiting else None):
                    data = await self._tty.read()
            except TimeoutError:
                self._perform(self._keyboard.idle(), done)
                continue
            if not data:
                _resolve(done, Outcome(Ending.HUNG_UP))
                return
            self._perform(self._keyboard.feed(data), done)

    def _perform(self, actions: list[Action], done: asyncio.Future[Outcome | Command]) -> None:
        for action in actions:
            if isinstance(action, Command):
                _resolve(done, action)
            elif not done.done():
                self._input += action
                self._input_added.set()
        if len(self._input) > INPUT_BACKLOG:
            self._input_space.clear()

    async def _send_input(self, stream: Stream) -> None:
        while True:
            await self._input_added.wait()
            self._input_added.clear()
            if self._input:
                data = bytes(self._input)
                self._input.clear()
                stream.send(protocol.Input(data))
                with contextlib.suppress(UserError):  # _show_output raises the reason why the connection was lost
                    await stream.drain()
                self._input_space.set()

    async def _show_output(self, stream: Stream, done: asyncio.Future[Outcome | Command]) -> None:
        try:
            while True:
                message = await stream.receive()
                if isinstance(message, protocol.Output):
                    await self._tty.write(message.data)
                    self._last_output = asyncio.get_running_loop().time()
                elif isinstance(message, bridging.ClipboardWanted):
                    self._background.start(images.send(stream, message), "clipboard")
                elif isinstance(message, bridging.Notice) and self._notifications:
                    self._background.start(self._notify(message.text), "notice")
                elif isinstance(message, protocol.Exited):
                    outcome = Outcome(Ending.EXITED, message.status, message.reason, message.console_tail)
                    _resolve(done, outcome)
                    return
        except OSError:
            _resolve(done, Outcome(Ending.HUNG_UP))
        except (UserError, ProtocolError) as error:
            if not done.done():
                done.set_exception(error)

    async def _notify(self, text: str) -> None:
        """Show a notification when the program is quiet: within its control sequences, it would damage the screen."""
        from ccvm_tui.tui.model.attention import notification

        loop = asyncio.get_running_loop()
        while (wait := self._last_output + QUIET - loop.time()) > 0:  # noqa: ASYNC110 - output sends no such event
            await asyncio.sleep(wait)
        with contextlib.suppress(OSError):  # the terminal may have been closed
            await self._tty.write(notification("ccvm", text).encode())

    async def _send_rest(self, stream: Stream) -> None:
        """Send the input that was typed before the command."""
        with contextlib.suppress(TimeoutError, UserError):
            async with asyncio.timeout(CLOSED_WITHIN):
                if self._input:
                    stream.send(protocol.Input(bytes(self._input)))
                    self._input.clear()
                await stream.drain()


async def _first(*futures: asyncio.Future[Any]) -> None:
    """Wait until one of the futures is done. None is cancelled, and no result is retrieved."""
    await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)


def _resolve(done: asyncio.Future[T], result: T) -> None:
    if not done.done():
        done.set_result(result)


def _print(line: str) -> None:
    print(line, file=sys.stderr)
