"""A session in the main area: its line above, the terminal, and a line to search in while reading."""

from __future__ import annotations

from dataclasses import dataclass

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Input

from ccvm_tui.guest import SessionInfo
from ccvm_tui.text import plain
from ccvm_tui.tui.attention import SessionKey, said, wants
from ccvm_tui.tui.tree_rows import session_sign, session_title
from ccvm_tui.tui.widgets.bars import Bar, Piece, TitleBar
from ccvm_tui.tui.widgets.line import Line
from ccvm_tui.tui.widgets.terminal import Terminal


class SearchLine(Line):
    """The needle of a search through the scrollback."""

    @dataclass
    class Left(Message):
        """Escape: no search."""

    DEFAULT_CSS = """
    SearchLine { height: 1; border: none; padding: 0 1; display: none; background: $panel; }
    SearchLine.-shown { display: block; }
    SearchLine:focus { border: none; }
    """

    def key_escape(self, event: events.Key) -> None:
        event.stop()
        self.post_message(self.Left())


class FarewellBar(Bar):
    """How the session ended and what may be done about it, below its last screen."""

    DEFAULT_CSS = """
    FarewellBar { display: none; }
    FarewellBar.-shown { display: block; }
    """


class SessionPane(Vertical):
    """``farewell`` says how the session ended while its last screen is still shown; else it is empty."""

    DEFAULT_CSS = "SessionPane { width: 1fr; height: 1fr; }"

    @dataclass
    class Searched(Message):
        pane: SessionPane
        needle: str
        backwards: bool

    def __init__(self, key: SessionKey, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.key = key
        self.info: SessionInfo | None = None
        self.backwards = False
        self.terminal = Terminal(key)
        self._title = TitleBar()
        self.farewell = ""
        self._paused = False
        self._farewell_bar = FarewellBar()
        self._search = SearchLine(placeholder="search the scrollback")

    def compose(self) -> ComposeResult:
        yield self._title
        yield self.terminal
        yield self._search
        yield self._farewell_bar

    def show(self, info: SessionInfo | None, *, paused: bool = False) -> None:
        """``paused`` is the guest's state: nothing in it moves."""
        self._paused = paused
        if not self.farewell:
            self.info = info
        self._describe()

    def bid_farewell(self, info: SessionInfo, text: str, *, again: bool) -> None:
        """Keep the last screen, with ``text`` below it."""
        self.info = info
        self.farewell = text
        pieces = [Piece(" ✗ ", "error", True), Piece(f"{text}   ", "foreground")]
        pieces += [Piece("Enter", "accent", True, "close_ended"), Piece(" close   ", "muted", False, "close_ended")]
        if again:
            pieces += [Piece("r", "accent", True, "again"), Piece(" run again ", "muted", False, "again")]
        self._farewell_bar.show(pieces)
        self._farewell_bar.add_class("-shown")
        self._describe()

    def _describe(self) -> None:
        info, terminal = self.info, self.terminal
        focused = terminal.has_focus
        left = [Piece("▎" if focused else " ", "primary", True)]
        right: list[Piece] = []
        if info is not None:
            sign = session_sign(info)
            left.append(Piece(f"{session_title(info)} ", "foreground" if focused else "muted", focused))
            if self.farewell:
                left.append(Piece(" ○ ended ", "muted"))
            elif self._paused:
                left.append(Piece(" ‖ paused: P in the tree lets it go on ", "secondary"))
            elif terminal.reading is None:
                left.append(Piece(f" {sign.shape} {sign.word} ", sign.colour))
            if wants(info) and terminal.reading is None and not self.farewell:
                left.append(Piece(f" {said(info)} ", sign.colour, True))
        if terminal.reading is not None:
            right = [Piece(f" {terminal.reading.position} ", "accent", True)]
        elif terminal.trouble:
            right = [Piece(f" {terminal.trouble} ", "error")]
        else:
            right = [Piece(f"{plain(self.key.guest, 50)} ", "faint")]
        self._title.show(left, right)

    def on_terminal_changed(self, event: Terminal.Changed) -> None:
        event.stop()
        self._describe()

    def on_descendant_focus(self) -> None:
        self._describe()

    def on_descendant_blur(self) -> None:
        self._describe()

    def ask_needle(self, backwards: bool) -> None:
        self.backwards = backwards
        self._search.value = ""
        self._search.add_class("-shown")
        self._search.focus()

    def _hide_search(self) -> None:
        self._search.remove_class("-shown")
        self.terminal.focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self._hide_search()
        if event.value:
            self.post_message(self.Searched(self, event.value, self.backwards))

    def on_search_line_left(self, event: SearchLine.Left) -> None:
        event.stop()
        self._hide_search()
