"""A session that prints hostile bytes affects only its own rows."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from ccvm_tui.terminal.cells import PLAIN
from tests.terminals import Cell
from tests.tui.conftest import start_guest
from tests.tui.outer import OuterTerminal

LEADER = "\x1c"
SPEW = str(Path(__file__).parent / "spew.py")
COLS, ROWS = 100, 30
SIDEBAR = 33
SIGNS = "▸!✓✗"
STATES = {"·", "▸", "!", "✓", "✗", "◐", "◓", "◑", "◒"}


def chrome(cells: list[list[Cell]], rows: range = range(1, ROWS - 1)) -> list[list[Cell]]:
    """Return the sidebar with the line beside it, without what describes the hostile session itself."""
    return [(cells[y] + [(" ", PLAIN)] * SIDEBAR)[:SIDEBAR] if y < len(cells) else [] for y in rows]


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.attack
async def test_nothing_but_its_own_rows_changes(home: Path, seed: int) -> None:
    await start_guest(home, "calm", "cat", title="calm")
    await start_guest(home, "spew", "sh", "-c", f"read x; exec {sys.executable} -P {SPEW} {seed}", title="spew")
    async with OuterTerminal(home, COLS, ROWS, env={"TERM": "xterm-256color"}) as outer:
        await outer.until("2 sessions")
        await outer.type(LEADER + "1")
        await outer.until("Ctrl+\\ then")
        await outer.quiet()
        await outer.type(LEADER + "2")
        await outer.quiet()
        before = outer.cells()
        began = len(outer.received)
        await outer.type("\r")
        await outer.until("it is over", 60)
        await outer.quiet()
        after = outer.cells()

        calm = [y for y, row in enumerate(before) if "calm" in "".join(text for text, _ in row[:SIDEBAR])]
        assert len(calm) == 3
        for y in (*calm, *range(8, ROWS - 1)):  # the calm guest's rows, and the empty rest of the sidebar
            assert _words(chrome(after)[y - 1]) == _words(chrome(before)[y - 1])
        assert after[ROWS - 1] == before[ROWS - 1]  # the footer
        written = bytes(outer.received[began:])
        for title in re.findall(rb"\x1b\]2;([^\x1b]*)", written):
            assert title.decode().isprintable()
        for forbidden in (rb"\x1b\]52", rb"\x1b\[\?1049", rb"\x1b#8", rb"\x1b\[6n", rb"\x1b\[c", rb"\x1b\[>c", rb"\x1bP",
                          rb"\x1b_", rb"\x1bc", rb"\x1b\[\?5h", rb"\x1b\[\d+;\d+r", rb"\x1b\[\?6h"):  # fmt: skip
            assert not re.search(forbidden, written), forbidden
        await outer.type(LEADER + "1")
        await outer.type("still here\r")
        await outer.until("still here")


def _words(row: list[Cell]) -> list[tuple[str, object]]:
    """Return the row without states, which may change meanwhile: a word on the right, and a sign before the title."""
    return [("·" if text in STATES else text, style.background) for text, style in row[: SIDEBAR - 14]]


@pytest.mark.attack
async def test_answers_go_to_the_session_that_asked(home: Path) -> None:
    """Two sessions in tiles: one queries the cursor's position and the terminal's name, the other receives nothing."""
    await start_guest(
        home, "asks", "sh", "-c", "stty raw -echo; printf '\\033[5;5H\\033[6n\\033[c'; cat -v", title="asks"
    )
    await start_guest(home, "quiet", "sh", "-c", "stty raw -echo; printf ready; cat -v", title="quiet")
    async with OuterTerminal(home, 160, 30) as outer:
        await outer.until("2 sessions")
        await outer.type(LEADER + "2")
        await outer.until("Ctrl+\\ then")
        await outer.type(LEADER + "t")
        await outer.until("^[[5;5R")
        await outer.quiet()
        line = next(line for line in outer.text.split("\n") if "ready" in line)
        assert "^[" not in line.split("ready")[0].split("│")[-1]
        assert "ready^" not in outer.text
