"""The outer terminal: raw mode, its modes on and off, bytes in and out.

Textual's driver reads in a thread, wakes the loop for every key and knows a subset of the keys. Here the loop
itself reads (no hand-over, a guest's key is on its way before Textual hears of it), the parser keeps every key
whole, and the app may take a stroke before it becomes a Textual event.
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
from ccvm_tui.tui.strokes import key_name

ESCAPE_WAIT = 0.02
"""Seconds after which an escape character that came alone is the Escape key. Terminals send a sequence in one
piece; a slow line may cut it. With the kitty protocol the key has a sequence of its own and nothing waits."""

SEQUENCE_WAIT = 0.5
"""Seconds for the rest of a sequence that has clearly begun: a mouse report cut by a slow line is no typing."""

READ_SIZE = 1 << 16

ENDING = (signal.SIGTERM, signal.SIGHUP)
"""Signals that end the dashboard as its quit key does. SIGINT comes from no key here: the terminal is raw."""

ASK_SCHEME = "\x1b[?996n"
"""Dark or light."""

ASK_COLOURS = "\x1b]10;?\x1b\\\x1b]11;?\x1b\\\x1b]12;?\x1b\\\x1b[c"
"""Foreground, background, cursor; and at last what every terminal answers (DA1)."""

ASK_CELL = "\x1b[16t"
SCHEME_REPORTS = "2031"
"""The mode in which a terminal tells when it becomes dark or light."""

KITTY_FLAGS = 0b101
"""Disambiguate keys and report alternates. Text stays text, so that input methods and fast typing are untouched."""


class Takes(Protocol):
    """What the app may do with input before Textual sees it, and what it hears of the outer terminal."""

    def take_stroke(self, stroke: Stroke) -> bool: ...
    def take_paste(self, data: bytes) -> bool: ...
    def outer_focus(self, gained: bool) -> None: ...
    def outer_resized(self, cell: tuple[int, int]) -> None:
        """``cell`` is a cell's width and height in pixels, as far as the terminal's device tells; else zeros."""

    def outer_report(self, kind: str, text: str) -> None: ...


class Writer(threading.Thread):
    """Writes to the terminal apart from the loop, so that a slow line never holds it up."""

    def __init__(self, file: IO[str]) -> None:
        super().__init__(daemon=True, name="terminal output")
        self._fd = file.fileno()
        self._waiting: deque[str] = deque()
        self._wake = threading.Condition()
        self._stopping = False
        self._busy = False
        self._awaited: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []

    @property
    def idle(self) -> bool:
        """Whether everything written so far has reached the terminal."""
        return not self._busy and not self._waiting

    def write(self, text: str) -> None:
        with self._wake:
            self._waiting.append(text)
            self._wake.notify()

    def flushed(self, loop: asyncio.AbstractEventLoop) -> asyncio.Future[None]:
        """Done once all that was written before has reached the terminal, or never will."""
        future: asyncio.Future[None] = loop.create_future()
        with self._wake:
            if self.idle or not self.is_alive():
                future.set_result(None)
            else:
                self._awaited.append((loop, future))
        return future

    def _tell_flushed(self) -> None:
        awaited, self._awaited = self._awaited, []
        for loop, future in awaited:
            loop.call_soon_threadsafe(_resolve, future)

    def run(self) -> None:
        while True:
            with self._wake:
                self._busy = False
                if not self._waiting:
                    self._tell_flushed()
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
                    self._wait_writable()
                except OSError:  # the terminal is gone; the app hears of it by end of file
                    with self._wake:
                        self._busy = self._stopping = False
                        self._waiting.clear()
                        self._tell_flushed()
                    return

    def _wait_writable(self) -> None:
        select.select([], [self._fd], [], 1.0)

    def stop(self) -> None:
        with self._wake:
            self._stopping = True
            self._wake.notify()
        self.join(timeout=2.0)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class OuterDriver(Driver):
    def __init__(
        self, app: App[Any], *, debug: bool = False, mouse: bool = True, size: tuple[int, int] | None = None
    ) -> None:
        super().__init__(app, debug=debug, mouse=mouse, size=size)
        self._takes = cast("Takes", app)
        self._file = cast("IO[str]", sys.__stderr__ if sys.__stderr__.isatty() else sys.__stdout__)  # type: ignore[union-attr]
        self._input = sys.__stdin__.fileno()  # type: ignore[union-attr]
        self._saved: list[Any] | None = None
        self._writer: Writer | None = None
        self._parser = InputParser()
        self._escape: asyncio.TimerHandle | None = None
        self._kitty_flags = KITTY_FLAGS
        self._other_keys = 1
        self._all_motion = False
        self._reading = False
        self._tells_scheme = False

    @property
    def can_suspend(self) -> bool:
        return True

    # --- out ----------------------------------------------------------------------------------------------

    def write(self, data: str) -> None:
        """Write now, apart from the loop; while suspended the terminal is another's and nothing is written."""
        if self._writer is not None:
            self._writer.write(data)

    async def flushed(self) -> None:
        """Returns once everything written has reached the terminal."""
        if (writer := self._writer) is not None and not writer.idle:
            await writer.flushed(asyncio.get_running_loop())

    def keyboard(self, kitty_flags: int, other_keys: int) -> None:
        """Ask the terminal for the keys that the focused program wants: in the kitty protocol, and for terminals that
        do not know it, by modifyOtherKeys, whose second level tells Ctrl+I from Tab."""
        if (flags := KITTY_FLAGS | kitty_flags) != self._kitty_flags:
            self._kitty_flags = flags
            self.write(f"\x1b[={flags};1u")
        if (level := 2 if kitty_flags or other_keys == 2 else 1) != self._other_keys:
            self._other_keys = level
            self.write(f"\x1b[>4;{level}m")

    def ask_colours(self) -> None:
        self.write(ASK_COLOURS)

    def report_all_motion(self, wanted: bool) -> None:
        """Mouse motion without a button is only asked for while a program wants it: it costs on every move."""
        if self._mouse and wanted != self._all_motion:
            self._all_motion = wanted
            self.write("\x1b[?1003h" if wanted else "\x1b[?1003l\x1b[?1002h")

    # --- modes --------------------------------------------------------------------------------------------

    def start_application_mode(self) -> None:
        self._writer = Writer(self._file)
        self._writer.start()
        self._raw_mode()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGWINCH, self._size_changed)
        loop.add_signal_handler(signal.SIGTSTP, self._stop_ourselves)
        for ending in ENDING:
            loop.add_signal_handler(ending, self._app.exit, 0)
        self.write("\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[?1004h\x1b[?2004h")
        if self._mouse:
            self.write("\x1b[?1000h\x1b[?1002h\x1b[?1006h")
        self.write(f"\x1b[>4;1m\x1b[>{KITTY_FLAGS}u")
        self._kitty_flags = KITTY_FLAGS
        self._other_keys = 1
        self._all_motion = False
        self.write(f"\x1b[?2026$p\x1b[?{SCHEME_REPORTS}$p\x1b[?{SCHEME_REPORTS}h\x1b[?u{ASK_SCHEME}{ASK_COLOURS}")
        self._parser = InputParser()
        loop.add_reader(self._input, self._readable)
        self._reading = True
        self._size_changed()

    def _raw_mode(self) -> None:
        try:
            self._saved = termios.tcgetattr(self._input)
        except termios.error:
            self._saved = None
            return
        tty.setraw(self._input, termios.TCSADRAIN)

    def disable_input(self) -> None:
        if not self._reading:
            return
        self._reading = False
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._input)
        loop.remove_signal_handler(signal.SIGWINCH)
        loop.remove_signal_handler(signal.SIGTSTP)
        for ending in ENDING:
            loop.remove_signal_handler(ending)
        if self._escape is not None:
            self._escape.cancel()

    def stop_application_mode(self) -> None:
        self.disable_input()
        if self._mouse:
            self.write("\x1b[?1003l\x1b[?1002l\x1b[?1000l\x1b[?1006l")
        self.write(f"\x1b[?2004l\x1b[?1004l\x1b[?{SCHEME_REPORTS}l\x1b[<u\x1b[>4m\x1b[?7h\x1b[0 q\x1b]112\x1b\\\x1b[0m")
        self.write("\x1b[?1049l\x1b[?25h")
        self.close()
        if self._saved is not None:
            try:
                termios.tcflush(self._input, termios.TCIFLUSH)
                termios.tcsetattr(self._input, termios.TCSADRAIN, self._saved)
            except termios.error:
                return  # the terminal is gone

    def close(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.stop()

    def _stop_ourselves(self) -> None:
        self.suspend_application_mode()
        os.kill(os.getpid(), signal.SIGSTOP)
        self.resume_application_mode()
        self._app.refresh(layout=True)

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
            self.write(ASK_CELL)
        # before the layout changes, so that the sessions hear of cells and pixels at once
        self._takes.outer_resized(cell)
        self._app.post_message(events.Resize(size, size))

    # --- in -----------------------------------------------------------------------------------------------

    def _readable(self) -> None:
        try:
            data = os.read(self._input, READ_SIZE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:  # the terminal hung up
            self.disable_input()
            self._app.exit()
            return
        if self._escape is not None:
            self._escape.cancel()
            self._escape = None
        self._deliver(self._parser.feed(data))
        if self._parser.waiting:
            wait = ESCAPE_WAIT if self._parser.maybe_a_key else SEQUENCE_WAIT
            self._escape = asyncio.get_running_loop().call_later(wait, self._escape_alone)

    def _escape_alone(self) -> None:
        self._escape = None
        self._deliver(self._parser.flush())

    def _deliver(self, tokens: list[Token]) -> None:
        for token in tokens:
            match token:
                case Stroke():
                    if not self._takes.take_stroke(token) and token.action != RELEASE:
                        self.process_message(events.Key(key_name(token), token.character))
                case Mouse():
                    for event in mouse_events(token, self._last_position):
                        self._last_position = (token.x, token.y)
                        self.process_message(event)
                case Paste(data=data):
                    if not self._takes.take_paste(data):
                        text = data.decode("utf-8", "replace").replace("\0", "").replace("\r", "\n")
                        self.process_message(events.Paste(text))
                case Focus(gained=gained):
                    if gained and not self._tells_scheme:
                        self.write(ASK_SCHEME + ASK_COLOURS)
                    self._takes.outer_focus(gained)
                case Report(kind=kind, text=text):
                    self._report(kind, text)

    _last_position: tuple[int, int] = (0, 0)

    def _report(self, kind: str, text: str) -> None:
        if kind == "?$y":
            mode, _, setting = text.partition(";")
            if mode == "2026" and setting in ("1", "2", "3"):
                self.process_message(TerminalSupportsSynchronizedOutput())
            elif mode == SCHEME_REPORTS:
                self._tells_scheme = setting in ("1", "2", "3")
            return
        self._takes.outer_report(kind, text)


_WHEEL: tuple[type[events.MouseEvent], ...] = (
    events.MouseScrollUp,
    events.MouseScrollDown,
    events.MouseScrollLeft,
    events.MouseScrollRight,
)


def mouse_events(mouse: Mouse, last: tuple[int, int]) -> list[events.MouseEvent]:
    """Textual's event for a report; none for the side buttons, which its widgets do not know."""
    code = mouse.code
    kind: Callable[..., events.MouseEvent]
    button = 0
    if code & 64:
        kind = _WHEEL[code & 3]
    elif code & 128:
        return []
    else:
        button = (code & 3) + 1 if code & 3 != 3 else 0
        if code & 32:
            kind = events.MouseMove
        elif button == 0 or not mouse.pressed:
            kind = events.MouseUp
        else:
            kind = events.MouseDown
    x, y = mouse.x, mouse.y
    return [
        kind(
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
    ]
