"""A terminal around the real program: a pty and the emulator, whose screen can be inspected."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
from collections.abc import Callable
from pathlib import Path

from ccvm_tui.guest import TermColours, TermSize
from ccvm_tui.terminal.cells import Cursor
from ccvm_tui.terminal.emulator import Emulator
from tests.terminals import Cell, cells_of, text_of

WITHIN = 20.0


class OuterTerminal:
    """A terminal in which the dashboard runs: ``async with OuterTerminal(home) as outer``. ``received`` is all its output.

    With ``colours`` it answers queries, as terminals do. ``cell`` is the size of a cell in pixels.
    """

    def __init__(
        self,
        home: Path,
        cols: int = 100,
        rows: int = 30,
        *argv: str,
        env: dict[str, str] | None = None,
        cwd: Path = Path("/"),  # no project, which would be offered
        cell: tuple[int, int] = (0, 0),
        colours: TermColours | None = None,
    ) -> None:
        self.home = home
        self.size = TermSize(cols, rows).with_cell(cell)
        self.emulator = Emulator(self.size)
        self.answers = colours is not None
        self.ignored: tuple[bytes, ...] = ()
        """Complete sequences that the dashboard has written and this terminal does not support."""
        if colours is not None:
            self.emulator.set_colours(colours)
        self.received = bytearray()
        self._argv = argv or (sys.executable, "-P", "-m", "tests.tui.program")
        self._env = {"HOME": str(home), "TERM": "xterm-256color", "COLORTERM": "truecolor"} | (env or {})
        self._cwd = cwd
        self._news = asyncio.Event()
        self._pending = b""
        self.process: asyncio.subprocess.Process

    async def __aenter__(self) -> OuterTerminal:
        self.master, slave = pty.openpty()
        self._resize_pty()
        self.before = termios.tcgetattr(slave)
        self._slave = slave
        environment = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "TERM_PROGRAM")}
        self.process = await asyncio.create_subprocess_exec(
            "setsid",
            "--ctty",
            *self._argv,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**environment, **self._env},
            cwd=self._cwd,
        )
        os.set_blocking(self.master, False)
        asyncio.get_running_loop().add_reader(self.master, self._readable)
        return self

    async def __aexit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_reader(self.master)
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()
        os.close(self.master)
        os.close(self._slave)
        self.emulator.close()

    def _readable(self) -> None:
        try:
            data = os.read(self.master, 1 << 18)
        except (BlockingIOError, OSError):
            return
        self.received += data
        for sequence in self.ignored:
            data = data.replace(sequence, b"")
        self.emulator.feed(data)
        self._answer()
        self._news.set()

    def _answer(self) -> None:
        if (data := self.emulator.outbox.take_answers()) and self.answers:
            os.write(self.master, data)

    def recolour(self, colours: TermColours) -> None:
        """Change the terminal's colours, as a user does who chooses another theme."""
        self.emulator.recolour(colours)
        self._answer()

    @property
    def attributes(self) -> list[object]:
        return termios.tcgetattr(self._slave)

    def _resize_pty(self) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, self._winsize())

    def _winsize(self) -> bytes:
        size = self.size
        return struct.pack("HHHH", size.rows, size.cols, size.width, size.height)

    def resize(self, cols: int, rows: int, cell: tuple[int, int] = (0, 0)) -> None:
        self.size = TermSize(cols, rows).with_cell(cell)
        self.emulator.resize(self.size)
        self._resize_pty()

    async def type(self, text: str | bytes) -> None:
        data = text.encode() if isinstance(text, str) else text
        while data:
            try:
                data = data[os.write(self.master, data) :]
            except BlockingIOError:
                _, writable, _ = await asyncio.to_thread(select.select, [], [self.master], [], WITHIN)
                assert writable, "the program takes no input"

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    @property
    def text(self) -> str:
        return text_of(self.emulator)

    @property
    def cursor(self) -> Cursor:
        self.emulator.refresh()
        return self.emulator.cursor()

    def cells(self) -> list[list[Cell]]:
        return cells_of(self.emulator)

    async def until(self, condition: Callable[[], object] | str, within: float = WITHIN) -> None:
        holds = condition if callable(condition) else lambda: condition in self.text
        try:
            async with asyncio.timeout(within):
                while not holds():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            crashes = "".join(file.read_text() for file in self.home.glob("state/ccvm/crashes/*.txt"))
            raise AssertionError(
                f"not within {within} s: {condition!r}; the terminal shows\n{self.text}\n{crashes}"
            ) from None

    async def quiet(self, seconds: float = 0.4) -> None:
        """Wait until nothing is written for that time."""
        while True:
            self._news.clear()
            try:
                async with asyncio.timeout(seconds):
                    await self._news.wait()
            except TimeoutError:
                return

    async def ended(self) -> int:
        async with asyncio.timeout(WITHIN):
            return await self.process.wait()
