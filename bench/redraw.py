"""Measure the cost of a full frame in the dashboard, in this process."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

from rich.color import ColorSystem
from rich.console import Console

from ccvm_tui.terminal.cells import Cursor, Frame, Modes, Row, Run, Style, decode_frame, encode_frame
from ccvm_tui.tui.model.grid import Grid
from ccvm_tui.tui.terminal_io.strips import Painter
from ccvm_tui.tui.terminal_io.style_book import StyleBook

COLS, ROWS = 200, 60


def _frame(seq: int, every: int, colours: int) -> bytes:
    """Return a frame whose colour changes every ``every`` cells."""
    styles = {0: Style()} | {n: Style(foreground=0x1000000 | n * 4919 & 0xFFFFFF) for n in range(1, colours + 1)}
    lines = [
        Row(y, [Run(f"{(x + y + seq) % 10}" * every, every, (x // every + y + seq) % colours + 1)
                for x in range(0, COLS, every)])
        for y in range(ROWS)
    ]  # fmt: skip
    return encode_frame(Frame("s1", seq, COLS, ROWS, True, lines, styles, Cursor(), Modes(), 0, 0, ""))


def measure() -> Iterator[tuple[str, float, int]]:
    """Yield (name, milliseconds, bytes) for plain code, and for another colour every two cells."""
    console = Console()
    for what, every, colours in (("code", 12, 20), ("mosaic", 2, 200)):
        painter = Painter(StyleBook(ColorSystem.TRUECOLOR))
        painter.width, painter.origin = COLS, 0
        grid = Grid()
        frames = [_frame(seq, every, colours) for seq in range(30)]
        times, size = [], 0
        for data in frames:
            began = time.perf_counter()
            grid.apply(decode_frame(data))
            out = "".join(f"\x1b[{y + 1};1H{painter.strip(line).render(console)}" for y, line in enumerate(grid.lines))
            times.append(time.perf_counter() - began)
            size = len(out.encode())
        yield what, statistics.median(times) * 1000, size
