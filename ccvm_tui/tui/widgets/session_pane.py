"""A session in the main area: its title, its terminal, a line for searching, and a line about its end."""

from __future__ import annotations

from dataclasses import dataclass

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Input

from ccvm_tui.guest import SessionInfo
from ccvm_tui.text import plain
from ccvm_tui.tui.actions.table import ended_hints
from ccvm_tui.tui.model.attention import needs_user, reason
from ccvm_tui.tui.model.sessions import LastScreen, SessionKey, session_title
from ccvm_tui.tui.model.signs import session_sign
from ccvm_tui.tui.widgets.bars import Bar, Piece, TitleBar
from ccvm_tui.tui.widgets.controls import CancellableInput
from ccvm_tui.tui.widgets.terminal import Terminal


class SearchInput(CancellableInput):
    """The line for the text that is searched for in copy mode."""

    DEFAULT_CSS = """
    SearchInput { height: 1; border: none; padding: 0 1; display: none; background: $panel; }
    SearchInput.-shown { display: block; }
    SearchInput:focus { border: none; }
    """


class EndBar(Bar):
    """The line below the last screen of a session: how the session has ended, and the keys that are available."""

    DEFAULT_CSS = """
    EndBar { display: none; }
    EndBar.-shown { display: block; }
    """


class SessionPane(Vertical):
    """The pane of a session. ``last_screen`` is set while the session has ended and its last screen is shown."""

    DEFAULT_CSS = "SessionPane { width: 1fr; height: 1fr; }"

    @dataclass
    class Searched(Message):
        """The user has entered a text to search for."""

        pane: SessionPane
        needle: str
        backwards: bool

    def __init__(self, key: SessionKey, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.key = key
        self.info: SessionInfo | None = None
        self.last_screen: LastScreen | None = None
        self.terminal = Terminal(key)
        self._title_bar = TitleBar()
        self._end_bar = EndBar()
        self._search = SearchInput(placeholder="search the scrollback")
        self._backwards = False
        self._paused = False

    def compose(self) -> ComposeResult:
        """Yield the parts of the pane."""
        yield self._title_bar
        yield self.terminal
        yield self._search
        yield self._end_bar

    def show(self, info: SessionInfo | None, *, paused: bool = False) -> None:
        """Show the state of the session. ``paused`` is true if its guest is paused."""
        self._paused = paused
        if self.last_screen is None:
            self.info = info
        self._update_title()

    def show_last_screen(self, info: SessionInfo, last_screen: LastScreen) -> None:
        """Keep the last screen, with the description of the end below it."""
        self.info = info
        self.last_screen = last_screen
        pieces = [Piece(" ✗ ", "error", True), Piece(f"{last_screen.text}   ", "foreground")]
        for hint in ended_hints(repeatable=last_screen.repeat is not None):
            pieces += [
                Piece(hint.key, "accent", True, hint.action),
                Piece(f" {hint.label}   ", "muted", False, hint.action),
            ]
        self._end_bar.show(pieces)
        self._end_bar.add_class("-shown")
        self._update_title()

    def _update_title(self) -> None:
        info, terminal, copy_mode = self.info, self.terminal, self.terminal.copy_mode
        focused = terminal.has_focus
        left = [Piece("▎" if focused else " ", "primary", True)]
        if info is not None:
            sign = session_sign(info)
            left.append(Piece(f"{session_title(info)} ", "foreground" if focused else "muted", focused))
            if self.last_screen is not None:
                left.append(Piece(" ○ ended ", "muted"))
            elif self._paused:
                left.append(Piece(" ‖ paused: P in the tree resumes it ", "secondary"))
            elif copy_mode is None:
                left.append(Piece(f" {sign.shape} {sign.word} ", sign.colour))
            if needs_user(info) and copy_mode is None and self.last_screen is None:
                left.append(Piece(f" {reason(info)} ", sign.colour, True))
        if copy_mode is not None:
            right = Piece(f" {copy_mode.position} ", "accent", True)
        elif terminal.trouble:
            right = Piece(f" {terminal.trouble} ", "error")
        else:
            right = Piece(f"{plain(self.key.guest, 50)} ", "faint")
        self._title_bar.show(left, [right])

    def on_terminal_changed(self, event: Terminal.Changed) -> None:
        """Update the title."""
        event.stop()
        self._update_title()

    def on_descendant_focus(self) -> None:
        """Update the title."""
        self._update_title()

    def on_descendant_blur(self) -> None:
        """Update the title."""
        self._update_title()

    # --- searching -----------------------------------------------------------------------------------------

    def ask_for_needle(self, *, backwards: bool) -> None:
        """Let the user enter a text to search for."""
        self._backwards = backwards
        self._search.value = ""
        self._search.add_class("-shown")
        self._search.focus()

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self._close_search()
        if event.value:
            self.post_message(self.Searched(self, event.value, self._backwards))

    @on(CancellableInput.Cancelled)
    def _cancelled(self, event: CancellableInput.Cancelled) -> None:
        event.stop()
        self._close_search()

    def _close_search(self) -> None:
        self._search.remove_class("-shown")
        self.terminal.focus()
