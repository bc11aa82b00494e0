"""An input line and the entries that match it, which the switcher and the command palette have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.fuzzy import FuzzySearch
from textual.widget import Widget
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from ccvm_tui.tui.dialogs.dialog import DialogScreen
from ccvm_tui.tui.terminal_io.app import inks_of
from ccvm_tui.tui.widgets.controls import LineInput

Entry = TypeVar("Entry")


class Finder(DialogScreen[Entry], Generic[Entry]):
    """The dialog. Its answer is the entry that the user has chosen."""

    placeholder = ""

    DEFAULT_CSS = """
    Finder Vertical.box { width: 90%; height: 80%; max-width: 150; background: $panel; border: round $line;
        border-title-color: $primary; border-title-style: bold; padding: 0 1; }
    Finder Input { height: 1; border: none; background: $background; padding: 0 1; margin: 0 0 1 0; }
    Finder Input:focus { border: none; }
    Finder OptionList { width: 1fr; height: 1fr; border: none; background: $panel; padding: 0;
        scrollbar-size-vertical: 1; }
    Finder OptionList > .option-list--option-highlighted { background: $cursor-row; text-style: none; }
    """

    def __init__(self, entries: Sequence[Entry]) -> None:
        super().__init__()
        self._entries = list(entries)
        self._found: list[Entry] = []
        self._search = FuzzySearch()
        self._input = LineInput(placeholder=self.placeholder)
        self._list = OptionList(markup=False)
        self._moves: dict[str, Callable[[], None]] = {
            "down": self._list.action_cursor_down, "ctrl+n": self._list.action_cursor_down,
            "ctrl+j": self._list.action_cursor_down, "pagedown": self._list.action_page_down,
            "up": self._list.action_cursor_up, "ctrl+p": self._list.action_cursor_up,
            "ctrl+k": self._list.action_cursor_up, "pageup": self._list.action_page_up,
        }  # fmt: skip

    # --- for subclasses ------------------------------------------------------------------------------------

    def beside(self) -> list[Widget]:
        """Return the widgets to the right of the list."""
        return []

    def searchable(self, entry: Entry) -> str:
        """Return the text of an entry that is searched."""
        raise NotImplementedError

    def line(self, entry: Entry, needle: str, width: int) -> Text:
        """Return the line of an entry, at most ``width`` cells wide."""
        raise NotImplementedError

    def highlighted(self, entry: Entry | None) -> None:
        """Handle that the cursor is on an entry, or that there is none."""

    def matched(self, needle: str, text: str) -> Text:
        """Return ``text`` with the letters highlighted that match ``needle``."""
        inks = inks_of(self)
        out = Text(text, inks.ink("foreground", ""))
        score, positions = self._search.match(needle, text) if needle else (0.0, ())
        for position in positions if score else ():
            out.stylize(inks.ink("accent", "", bold=True), position, position + 1)
        return out

    # --- the dialog ----------------------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        """Yield the box."""
        box = Vertical(classes="box")
        box.border_title = self.title_text
        with box:
            yield self._input
            yield Horizontal(self._list, *self.beside())

    def on_mount(self) -> None:
        """Show all entries."""
        self.call_after_refresh(self._find)

    def on_resize(self) -> None:
        """Draw the lines in the new width."""
        self.call_after_refresh(self._find)

    def _find(self) -> None:
        needle = self._input.value.strip()
        self._found = self._matching(needle)
        width = max(20, self._list.size.width - 3 or 40)
        self._list.clear_options()
        self._list.add_options([Option(self.line(entry, needle, width)) for entry in self._found])
        if self._found:
            self._list.highlighted = 0
        else:
            self.highlighted(None)

    def _matching(self, needle: str) -> list[Entry]:
        """Return the entries that match, the best ones first."""
        if not needle:
            return self._entries
        scored = [(self._search.match(needle, self.searchable(entry))[0], entry) for entry in self._entries]
        return [entry for score, entry in sorted(scored, key=lambda pair: -pair[0]) if score]

    def _entry_at(self, index: int | None) -> Entry | None:
        return self._found[index] if index is not None and 0 <= index < len(self._found) else None

    def on_input_changed(self) -> None:
        """Show the entries that match."""
        self._find()

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Handle that the cursor is on an entry."""
        if (entry := self._entry_at(event.option_index)) is not None:
            self.highlighted(entry)

    def on_option_list_option_selected(self) -> None:
        """Answer the entry that was clicked."""
        self._choose()

    def on_input_submitted(self) -> None:
        """Answer the entry under the cursor."""
        self._choose()

    def _choose(self) -> None:
        if (entry := self._entry_at(self._list.highlighted)) is not None:
            self.dismiss(entry)

    def on_key(self, event: events.Key) -> None:
        """Move the cursor."""
        if (move := self._moves.get(event.key)) is not None:
            event.stop()
            event.prevent_default()
            move()
