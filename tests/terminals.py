"""A simulated terminal that attaches to a session and whose screen can be inspected."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from ccvm_tui.client import connection
from ccvm_tui.errors import CcvmError
from ccvm_tui.guest import TermSize
from ccvm_tui.protocol import Exited, Input, Output, Resize
from ccvm_tui.terminal.cells import PLAIN, Style
from ccvm_tui.terminal.emulator import Emulator

WITHIN = 30.0

Cell = tuple[str, Style]


def cells_of(emulator: Emulator) -> list[list[Cell]]:
    """Return the text and style of the cells on the screen, by row, without trailing blanks."""
    emulator.refresh(everything=True)
    frame = emulator.frame("", 0, None)
    screen = []
    for row in sorted(frame.lines, key=lambda line: line.y):
        cells: list[Cell] = []
        for run in row.runs:
            style = frame.styles[run.style]
            texts = list(run.text) if len(run.text) == run.width else [run.text, *[""] * (run.width - 1)]
            cells += [(text, style) for text in texts]
        while cells and cells[-1] == (" ", PLAIN):
            cells.pop()
        screen.append(cells)
    return screen


def text_of(emulator: Emulator) -> str:
    return "\n".join("".join(text for text, _ in row).rstrip() for row in cells_of(emulator))


class Terminal:
    """A terminal with a session: ``async with attached(...) as terminal``."""

    def __init__(self, stream: connection.Stream, size: TermSize) -> None:
        self.stream = stream
        self.emulator = Emulator(size)
        self.received = bytearray()
        self.exited: Exited | None = None
        self._news = asyncio.Event()

    async def run(self) -> None:
        with contextlib.suppress(CcvmError):
            while self.exited is None:
                match await self.stream.receive():
                    case Output(data=data):
                        self.received += data
                        self.emulator.feed(data)
                    case Exited() as exited:
                        self.exited = exited
                self._news.set()
        self._news.set()

    def type(self, data: bytes | str) -> None:
        self.stream.send(Input(data.encode() if isinstance(data, str) else data))

    def resize(self, cols: int, rows: int) -> None:
        self.emulator.resize(TermSize(cols, rows))
        self.stream.send(Resize(TermSize(cols, rows)))

    @property
    def text(self) -> str:
        return text_of(self.emulator)

    async def until(self, condition: Callable[[], bool] | str, within: float = WITHIN) -> None:
        """Wait until the screen shows a text, or until a condition is true."""
        holds = condition if callable(condition) else lambda: condition in self.text
        try:
            async with asyncio.timeout(within):
                while not holds():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"not within {within} s: {condition!r}; the screen is\n{self.text}") from None

    async def ended(self, within: float = WITHIN) -> Exited:
        await self.until(lambda: self.exited is not None, within)
        assert self.exited is not None
        return self.exited


@contextlib.asynccontextmanager
async def attached(
    guest: str, session: str = "s1", cols: int = 80, rows: int = 24, *, watch_only: bool = False
) -> AsyncIterator[Terminal]:
    size = TermSize(cols, rows)
    stream = await connection.attach(guest, session, size, watch_only=watch_only)
    terminal = Terminal(stream, size)
    task = asyncio.ensure_future(terminal.run())
    try:
        yield terminal
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await stream.close()
        terminal.emulator.close()
