"""What the shown sessions ask of the main screen."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from ccvm_tui.tui.reading import Reading
from ccvm_tui.tui.widgets.session_pane import SessionPane
from ccvm_tui.tui.widgets.terminal import Terminal

if TYPE_CHECKING:
    from ccvm_tui.tui.screens.main import MainScreen


class SessionEvents:
    """A part of the main screen (Textual finds handlers by their names in every base class)."""

    @property
    def _main(self) -> MainScreen:
        return cast("MainScreen", self)

    def on_terminal_needs_lines(self, event: Terminal.NeedsLines) -> None:
        self._main.deeds.copies.fetch(event.terminal, event.first, event.count)

    def on_terminal_resized(self, event: Terminal.Resized) -> None:
        self._main.release_keys()

    def on_terminal_selected(self, event: Terminal.Selected) -> None:
        self._main.deeds.copies.copy(event.terminal, event.selection)

    def on_terminal_link_clicked(self, event: Terminal.LinkClicked) -> None:
        self._main.deeds.open_link(event.address)

    def on_terminal_left(self, event: Terminal.Left) -> None:
        self._main.deeds.do("close_ended" if event.what == "close" else "again")

    def on_reading_asked(self, event: Reading.Asked) -> None:
        match event.what:
            case "search" | "back":
                self._main.deeds.copies.search(backwards=event.what == "back")
            case "save":
                self._main.deeds.copies.save()
            case _:
                event.terminal.leave_scrollback()
        self._main.refresh_footer()

    def on_session_pane_searched(self, event: SessionPane.Searched) -> None:
        self._main.deeds.copies.searched(event.pane, event.needle, event.backwards)
