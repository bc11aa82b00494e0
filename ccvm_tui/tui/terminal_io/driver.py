"""The driver of the host terminal: raw mode, terminal modes, bytes in and out.

Textual's driver reads in a thread, wakes the event loop for every key, and knows only some of the keys. In this driver,
the event loop itself reads, the parser keeps every key whole, and the app may handle a key before it becomes an event
of Textual. A guest's key is therefore sent before Textual receives it.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import select
import signal
import struct
import sys
import termios
import threading
import tty
from collections import deque
from collections.abc import Callable
from typing import IO, Any, Protocol, cast

from textual import events
from textual.app import App
from textual.driver import Driver
from textual.geometry import Size
from textual.messages import TerminalSupportsSynchronizedOutput

from ccvm_tui.terminal.input import Focus, InputParser, Mouse, Paste, Report, Token
from ccvm_tui.terminal.keys import RELEASE, Stroke
from ccvm_tui.tui.model.key_names import key_name

ESCAPE_TIME = 0.02
"""Seconds after which a single escape character is the Escape key.

Terminals send a sequence in one piece, but a slow line may split it. In the kitty protocol, the Escape key has a
sequence of its own, so there is nothing to wait for.
"""

SEQUENCE_TIME = 0.5
"""Seconds to wait for the rest of an incomplete sequence, for example a mouse report that a slow line has split."""

READ_SIZE = 1 << 16
"""Bytes read at once."""

END_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
"""Signals that quit the dashboard, as its key does. No key causes SIGINT, because the terminal is in raw mode."""

QUERY_SCHEME = "\x1b[?996n"
"""The query for the colour scheme, dark or light."""

QUERY_COLOURS = "\x1b]10;?\x1b\\\x1b]11;?\x1b\\\x1b]12;?\x1b\\\x1b[c"
"""The queries for foreground, background and cursor colour, and at last one that every terminal answers (DA1)."""

QUERY_CELL = "\x1b[16t"
"""The query for the size of a cell in pixels."""

SCHEME_REPORTS = "2031"
"""The mode in which a terminal reports changes of the colour scheme."""

KITTY_FLAGS = 0b101
"""Disambiguate keys, and report alternate keys. Text remains text, so input methods and fast typing are unaffected."""


class InputHandler(Protocol):
    """The part of an app that handles input before Textual does, and the terminal's reports."""

    def take_stroke(self, stroke: Stroke) -> bool:
        """Handle a key. Return whether it was handled; if not, Textual gets it."""

    def take_paste(self, data: bytes) -> bool:
        """Handle a paste. Return whether it was handled; if not, Textual gets it."""

    def host_focus(self, gained: bool) -> None:
        """Handle that the host terminal has gained or lost the focus."""

    def host_resized(self, cell: tuple[int, int]) -> None:
        """Handle another size of the host terminal.

        ``cell`` is the width and height of a cell in pixels, as far as the device knows it, or zeros.
        """

    def host_report(self, kind: str, text: str) -> None:
        """Handle a report of the host terminal, see ``Report``."""


class TerminalWriter(threading.Thread):
    """A thread that writes to the terminal, so that a slow line does not block the event loop."""

    def __init__(self, file: IO[str]) -> None:
        super().__init__(daemon=True, name="terminal output")
        self._fd = file.fileno()
        self._waiting: deque[str] = deque()
        self._wake = threading.Condition()
        self._stopping = False
        self._busy = False
        self._waiters: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []

    @property
    def idle(self) -> bool:
        """True if everything has been written to the terminal."""
        return not self._busy and not self._waiting

    def write(self, text: str) -> None:
        """Queue text."""
        with self._wake:
            self._waiting.append(text)
            self._wake.notify()

    def flushed(self, loop: asyncio.AbstractEventLoop) -> asyncio.Future[None]:
        """Return a future that is done once everything queued so far has been written, or was dropped."""
        future: asyncio.Future[None] = loop.create_future()
        with self._wake:
            if self.idle or not self.is_alive():
                future.set_result(None)
            else:
                self._waiters.append((loop, future))
        return future

    def _notify_flushed(self) -> None:
        waiters, self._waiters = self._waiters, []
        for loop, future in waiters:
            loop.call_soon_threadsafe(_set_done, future)

    def run(self) -> None:
        """Write until ``stop`` is called or the terminal has been closed."""
        while True:
            with self._wake:
                self._busy = False
                if not self._waiting:
                    self._notify_flushed()
                while not self._waiting and not self._stopping:
                    self._wake.wait()
                if not self._waiting:
                    return
                text = "".join(self._waiting)
                self._waiting.clear()
                self._busy = True
            data = memoryview(text.encode("utf-8", "replace"))
            while data:
                try:
                    data = data[os.write(self._fd, data) :]
                except InterruptedError:
                    continue
                except BlockingIOError:
                    select.select([], [self._fd], [], 1.0)
                except OSError:  # the terminal has been closed, which the driver notices by an end of file
                    with self._wake:
                        self._busy = self._stopping = False
                        self._waiting.clear()
                        self._notify_flushed()
                    return

    def stop(self) -> None:
        """Write what is queued, and end the thread."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        self.join(timeout=2.0)


def _set_done(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class HostDriver(Driver):
    """The driver of the terminal on standard input and on standard error or output. The app is an ``InputHandler``."""

    def __init__(
        self, app: App[Any], *, debug: bool = False, mouse: bool = True, size: tuple[int, int] | None = None
    ) -> None:
        super().__init__(app, debug=debug, mouse=mouse, size=size)
        self._owner = app
        self._handler = cast("InputHandler", app)
        self._uses_mouse = mouse
        self._file = cast("IO[str]", sys.__stderr__ if sys.__stderr__.isatty() else sys.__stdout__)  # type: ignore[union-attr]
        self._input = sys.__stdin__.fileno()  # type: ignore[union-attr]
        self._saved: list[Any] | None = None
        self._writer: TerminalWriter | None = None
        self._parser = InputParser()
        self._escape_timer: asyncio.TimerHandle | None = None
        self._kitty_flags = KITTY_FLAGS
        self._other_keys = 1
        self._all_motion = False
        self._reading = False
        self._reports_scheme = False
        self._pointer = (0, 0)

    @property
    def can_suspend(self) -> bool:
        """True: the terminal can be given to another program."""
        return True

    # --- output -------------------------------------------------------------------------------------------

    def write(self, data: str) -> None:
        """Queue output. While the app is suspended, the terminal belongs to another program, and output is dropped."""
        if self._writer is not None:
            self._writer.write(data)

    async def flushed(self) -> None:
        """Wait until everything queued so far has been written to the terminal."""
        if (writer := self._writer) is not None and not writer.idle:
            await writer.flushed(asyncio.get_running_loop())

    def request_keyboard(self, kitty_flags: int, other_keys: int) -> None:
        """Request the keys that the focused program has requested.

        They are requested in the kitty protocol, and by modifyOtherKeys for terminals that do not know it. Its second
        level distinguishes Ctrl+I from Tab.
        """
        if (flags := KITTY_FLAGS | kitty_flags) != self._kitty_flags:
            self._kitty_flags = flags
            self.write(f"\x1b[={flags};1u")
        if (level := 2 if kitty_flags or other_keys == 2 else 1) != self._other_keys:
            self._other_keys = level
            self.write(f"\x1b[>4;{level}m")

    def request_all_motion(self, wanted: bool) -> None:
        """Request mouse motion without a button, only while a program wants it, because every motion costs time."""
        if self._uses_mouse and wanted != self._all_motion:
            self._all_motion = wanted
            self.write("\x1b[?1003h" if wanted else "\x1b[?1003l\x1b[?1002h")

    def query_colours(self) -> None:
        """Query the terminal's colours."""
        self.write(QUERY_COLOURS)

    # --- modes --------------------------------------------------------------------------------------------

    def start_application_mode(self) -> None:
        """Take over the terminal."""
        self._writer = TerminalWriter(self._file)
        self._writer.start()
        self._enter_raw_mode()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGWINCH, self._size_changed)
        loop.add_signal_handler(signal.SIGTSTP, self._stop_process)
        for number in END_SIGNALS:
            loop.add_signal_handler(number, self._owner.exit, 0)
        self.write("\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[?1004h\x1b[?2004h")
        if self._uses_mouse:
            self.write("\x1b[?1000h\x1b[?1002h\x1b[?1006h")
        self.write(f"\x1b[>4;1m\x1b[>{KITTY_FLAGS}u")
        self._kitty_flags = KITTY_FLAGS
        self._other_keys = 1
        self._all_motion = False
        self.write(f"\x1b[?2026$p\x1b[?{SCHEME_REPORTS}$p\x1b[?{SCHEME_REPORTS}h\x1b[?u{QUERY_SCHEME}{QUERY_COLOURS}")
        self._parser = InputParser()
        loop.add_reader(self._input, self._readable)
        self._reading = True
        self._size_changed()

    def _enter_raw_mode(self) -> None:
        try:
            self._saved = termios.tcgetattr(self._input)
        except termios.error:
            self._saved = None
            return
        tty.setraw(self._input, termios.TCSADRAIN)

    def disable_input(self) -> None:
        """Stop reading."""
        if not self._reading:
            return
        self._reading = False
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._input)
        loop.remove_signal_handler(signal.SIGWINCH)
        loop.remove_signal_handler(signal.SIGTSTP)
        for number in END_SIGNALS:
            loop.remove_signal_handler(number)
        if self._escape_timer is not None:
            self._escape_timer.cancel()

    def stop_application_mode(self) -> None:
        """Restore the terminal."""
        self.disable_input()
        if self._uses_mouse:
            self.write("\x1b[?1003l\x1b[?1002l\x1b[?1000l\x1b[?1006l")
        self.write(f"\x1b[?2004l\x1b[?1004l\x1b[?{SCHEME_REPORTS}l\x1b[<u\x1b[>4m\x1b[?7h\x1b[0 q\x1b]112\x1b\\\x1b[0m")
        self.write("\x1b[?1049l\x1b[?25h")
        self.close()
        if self._saved is not None:
            try:
                termios.tcflush(self._input, termios.TCIFLUSH)
                termios.tcsetattr(self._input, termios.TCSADRAIN, self._saved)
            except termios.error:
                return  # the terminal has been closed

    def close(self) -> None:
        """Write what is queued, and end the writer."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.stop()

    def _stop_process(self) -> None:
        self.suspend_application_mode()
        os.kill(os.getpid(), signal.SIGSTOP)
        self.resume_application_mode()
        self._owner.refresh(layout=True)

    def _size_changed(self) -> None:
        try:
            found = fcntl.ioctl(self._file.fileno(), termios.TIOCGWINSZ, bytes(8))
        except OSError:
            found = bytes(8)
        rows, columns, width, height = struct.unpack("HHHH", found)
        size = Size(columns or 80, rows or 24)
        cell = (width // size.width, height // size.height)
        if not all(cell):
            cell = (0, 0)
            self.write(QUERY_CELL)
        # before the layout changes, so that sessions receive their cells and pixels together
        self._handler.host_resized(cell)
        self._owner.post_message(events.Resize(size, size))

    # --- input --------------------------------------------------------------------------------------------

    def _readable(self) -> None:
        try:
            data = os.read(self._input, READ_SIZE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:  # the terminal has been closed
            self.disable_input()
            self._owner.exit()
            return
        if self._escape_timer is not None:
            self._escape_timer.cancel()
            self._escape_timer = None
        self._dispatch(self._parser.feed(data))
        if self._parser.waiting:
            wait = ESCAPE_TIME if self._parser.maybe_a_key else SEQUENCE_TIME
            self._escape_timer = asyncio.get_running_loop().call_later(wait, self._flush_parser)

    def _flush_parser(self) -> None:
        self._escape_timer = None
        self._dispatch(self._parser.flush())

    def _dispatch(self, tokens: list[Token]) -> None:
        for token in tokens:
            match token:
                case Stroke():
                    if not self._handler.take_stroke(token) and token.action != RELEASE:
                        self.process_message(events.Key(key_name(token), token.character))
                case Mouse():
                    if (event := mouse_event(token, self._pointer)) is not None:
                        self._pointer = (token.x, token.y)
                        self.process_message(event)
                case Paste(data=data):
                    if not self._handler.take_paste(data):
                        text = data.decode("utf-8", "replace").replace("\0", "").replace("\r", "\n")
                        self.process_message(events.Paste(text))
                case Focus(gained=gained):
                    if gained and not self._reports_scheme:
                        self.write(QUERY_SCHEME + QUERY_COLOURS)
                    self._handler.host_focus(gained)
                case Report(kind="?$y", text=text):
                    self._mode_reported(text)
                case Report(kind=kind, text=text):
                    self._handler.host_report(kind, text)

    def _mode_reported(self, text: str) -> None:
        mode, _, setting = text.partition(";")
        if mode == "2026" and setting in ("1", "2", "3"):
            self.process_message(TerminalSupportsSynchronizedOutput())
        elif mode == SCHEME_REPORTS:
            self._reports_scheme = setting in ("1", "2", "3")


_WHEEL: tuple[type[events.MouseEvent], ...] = (
    events.MouseScrollUp,
    events.MouseScrollDown,
    events.MouseScrollLeft,
    events.MouseScrollRight,
)


def mouse_event(mouse: Mouse, last: tuple[int, int]) -> events.MouseEvent | None:
    """Return Textual's event for a report, or None for the side buttons, which its widgets do not know.

    ``last`` is the position of the previous event.
    """
    code = mouse.code
    kind: Callable[..., events.MouseEvent]
    button = 0
    if code & 64:
        kind = _WHEEL[code & 3]
    elif code & 128:
        return None
    else:
        button = (code & 3) + 1 if code & 3 != 3 else 0
        if code & 32:
            kind = events.MouseMove
        elif button == 0 or not mouse.pressed:
            kind = events.MouseUp
        else:
            kind = events.MouseDown
    x, y = mouse.x, mouse.y
    return kind(
        widget=None,
        x=x,
        y=y,
        delta_x=x - last[0],
        delta_y=y - last[1],
        button=button,
        shift=bool(code & 4),
        meta=bool(code & 8),
        ctrl=bool(code & 16),
        screen_x=x,
        screen_y=y,
    )
