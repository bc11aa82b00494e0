"""Scrollback, copying and the guest's own clipboard writes: what the keeper is asked and what the user gets."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from textual import events

from ccvm_tui.errors import CcvmError
from ccvm_tui.terminal.cells import Lines
from ccvm_tui.text import plain
from ccvm_tui.tui import clipboard, workers
from ccvm_tui.tui.attention import SessionKey
from ccvm_tui.tui.dialogs.confirm import Confirm
from ccvm_tui.tui.grid import Line, lines_of
from ccvm_tui.tui.selection import Selection, copied
from ccvm_tui.tui.tree_rows import session_title
from ccvm_tui.tui.widgets.session_pane import SessionPane
from ccvm_tui.tui.widgets.terminal import Terminal

if TYPE_CHECKING:
    from ccvm_tui.tui.screens.main import MainScreen

OFFER_MAX = 1 << 20
"""Longest text that a guest may put on the clipboard, in bytes."""


AT_ONCE = 2000
"""Lines of the scrollback asked for at a time."""


TAKE_EVERY = 1.0
"""Seconds between two copies that one session may put on the clipboard; what comes between is skipped."""

UNAWARE = 0.6
"""Seconds without a key after which one is an answer to a question that came up by itself."""


class Unbidden(Confirm):
    """A question that a guest brought up, perhaps in the middle of a word: what is typed on is no answer to it."""

    _last_key = 0.0

    def on_mount(self) -> None:
        self._last_key = time.monotonic()

    def on_key(self, event: events.Key) -> None:
        unaware, self._last_key = time.monotonic() - self._last_key < UNAWARE, time.monotonic()
        if unaware:
            event.stop()
            event.prevent_default()


class Copies:
    def __init__(self, screen: MainScreen) -> None:
        self._screen = screen
        self._allowed: dict[tuple[SessionKey, float], bool] = {}
        """Of a session and the time it was created: a later guest of the same name must ask again."""
        self._asking: dict[SessionKey, bytes] = {}
        """What the session copied last while its question is open."""
        self._waiting: dict[SessionKey, bytes] = {}
        """What the session copied last and is not on the clipboard yet."""
        self._taking: set[SessionKey] = set()

    def _go(self, work: Callable[[], Awaitable[None]], name: str) -> None:
        async def guarded() -> None:
            try:
                await work()
            except (CcvmError, OSError, msgspec.DecodeError) as error:
                self._screen.notify(plain(str(error), 200), severity="error", markup=False)

        workers.start(self._screen, guarded, name, "copies")

    # --- lines ---------------------------------------------------------------------------------------------

    def fetch(self, terminal: Terminal, first: int, count: int) -> None:
        """Bring lines of the scrollback to the reader."""

        async def work() -> None:
            lines = await self._lines(terminal.key, first, count)
            if terminal.reading is not None:
                terminal.reading.add_lines(lines)

        self._go(work, "scrollback lines")

    async def _lines(self, key: SessionKey, first: int, count: int) -> dict[int, Line]:
        data = await self._screen.fleet.keeper(key.guest).rows(key.session, first, count)
        return lines_of(msgspec.msgpack.decode(data, type=Lines))

    def copy(self, terminal: Terminal, selection: Selection) -> None:
        """What was selected, onto the clipboard: as it was seen, though the program may have printed over it."""
        lines = dict(terminal.lines_at_hand())
        wanted = range(selection.first.line, selection.last.line + 1)
        missing = [number for number in wanted if number not in lines] if terminal.ended is None else []

        async def work() -> None:
            while missing:
                first = missing[0]
                piece = [number for number in missing if number < first + AT_ONCE]
                fetched = await self._lines(terminal.key, first, piece[-1] + 1 - first)
                lines.update((number, fetched[number]) for number in piece if number in fetched)
                del missing[: len(piece)]
            text = copied(lines, selection)
            if text:
                how = await self._put(text.encode("utf-8", "replace"))
                count = text.count("\n") + (not text.endswith("\n"))
                size = f"{count} lines" if count > 1 else f"{len(text)} characters"
                self._screen.notify(f"Copied {size}{how}", timeout=2, markup=False)

        self._go(work, "copy")

    async def _put(self, data: bytes) -> str:
        sequence = clipboard.osc52(data)
        self._screen.deeds.tell_outside(sequence)
        self._screen.app._clipboard = data.decode("utf-8", "replace")
        taken = await clipboard.copy_with_tool(data)
        return "" if sequence or taken else "; it is too long for the terminal's clipboard"

    def search(self, *, backwards: bool) -> None:
        pane = self._pane()
        if pane is not None:
            pane.terminal.read_scrollback()
            pane.ask_needle(backwards)

    def _pane(self) -> SessionPane | None:
        terminal = self._screen.focused_terminal
        return self._screen.stage.pane(terminal.key) if terminal is not None else None

    def searched(self, pane: SessionPane, needle: str, backwards: bool) -> None:
        async def work() -> None:
            keeper = self._screen.fleet.keeper(pane.key.guest)
            matches = await keeper.find_text(pane.key.session, needle)
            reading = pane.terminal.reading
            if reading is not None:
                reading.found(plain(needle, 40), list(matches.found), matches.total, backwards)
                if not matches.found:
                    self._screen.notify(f"No “{plain(needle, 40)}” in the scrollback", timeout=3, markup=False)

        self._go(work, "search")

    def save(self) -> None:
        """The whole scrollback and screen, as text, to a file in the user's home."""
        pane = self._pane()
        if pane is None:
            return
        terminal = pane.terminal

        async def work() -> None:
            grid = terminal.grid
            first, last = grid.top - grid.history, grid.top + grid.rows - 1
            text = await self._screen.fleet.keeper(terminal.key.guest).text(terminal.key.session, first, last)
            name = f"ccvm-{terminal.key.guest}-{terminal.key.session}-{time.strftime('%Y%m%d-%H%M%S')}.txt"
            path = Path.home() / name
            await asyncio.to_thread(_write_private, path, text)
            self._screen.notify(f"Saved to {path}", timeout=6, markup=False)

        self._go(work, "save scrollback")

    # --- what a guest wants to copy ------------------------------------------------------------------------

    def offered(self, key: SessionKey, data: bytes) -> None:
        """A program in the guest wrote to the clipboard (OSC 52): as the settings say."""
        policy = self._screen.settings.osc52
        allowed = self._allowed.get(self._life(key))
        if policy == "refuse" or not data or len(data) > OFFER_MAX or allowed is False:
            return
        if policy == "allow" or allowed:
            self._take(key, data)
        else:
            asked = key in self._asking
            self._asking[key] = data
            if not asked:
                self._go(lambda: self._ask(key, data), "ask for the clipboard")

    def _life(self, key: SessionKey) -> tuple[SessionKey, float]:
        info = self._screen.infos.get(key)
        return key, info.created if info is not None else 0.0

    async def _ask(self, key: SessionKey, data: bytes) -> None:
        info, life = self._screen.infos.get(key), self._life(key)
        shown = plain(data[:400].decode("utf-8", "replace"), 120)
        try:
            allowed = await self._screen.app.push_screen_wait(
                Unbidden(
                    "Let it use your clipboard?",
                    [
                        f"{session_title(info) if info else key.session} in {key.guest} copies {len(data)} bytes:",
                        f"  {shown}",
                        "The answer holds for this session until the dashboard is closed.",
                    ],
                    "let it",
                    "refuse",
                )
            )
        finally:
            data = self._asking.pop(key, data)
        self._allowed[life] = bool(allowed)
        if allowed:
            self._take(key, data)

    def _take(self, key: SessionKey, data: bytes) -> None:
        """Onto the clipboard, the newest now and then: a program may copy thousands of times in a second."""
        self._waiting[key] = data
        if key not in self._taking:
            self._taking.add(key)
            self._go(lambda: self._take_waiting(key), "guest copies")

    async def _take_waiting(self, key: SessionKey) -> None:
        try:
            while (data := self._waiting.pop(key, None)) is not None:
                await self._put(data)
                self._screen.notify(f"{key.guest} copied {len(data)} bytes to your clipboard", timeout=2, markup=False)
                await asyncio.sleep(TAKE_EVERY)
        finally:
            self._taking.discard(key)


def _write_private(path: Path, text: str) -> None:
    """Only the user may read it: who knows what scrolled by."""
    with open(path, "w", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(text)
