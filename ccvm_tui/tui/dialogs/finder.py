"""A line to type in, and the entries that match it: what the switcher and the command palette have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widget import Widget
from textual.widgets import Input, OptionList
from textual.widgets.option_list import Option

from ccvm_tui.tui.dialogs.dialog import DialogScreen
from ccvm_tui.tui.fuzzy import positions, score
from ccvm_tui.tui.inks import inks_of
from ccvm_tui.tui.widgets.line import Line

Entry = TypeVar("Entry")

MOVES = {
    "down": "cursor_down", "up": "cursor_up", "ctrl+n": "cursor_down", "ctrl+p": "cursor_up", "ctrl+j": "cursor_down",
    "ctrl+k": "cursor_up", "pagedown": "page_down", "pageup": "page_up",
}  # fmt: skip


class Finder(DialogScreen[Entry], Generic[Entry]):
    """Answers the chosen entry. What an entry is searched by and looks like is the subclass's."""

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
        self._shown: list[Entry] = []
        self.list = OptionList(markup=False)

    def compose(self) -> ComposeResult:
        box = Vertical(classes="box")
        box.border_title = self.title_text
        with box:
            yield Line(placeholder=self.placeholder)
            yield Horizontal(self.list, *self.beside())

    def beside(self) -> list[Widget]:
        """What stands to the right of the list."""
        return []

    def searched(self, entry: Entry) -> str:
        """The text that is matched."""
        raise NotImplementedError

    def line(self, entry: Entry, needle: str, room: int) -> Text:
        """The entry's line, ``room`` cells wide at most."""
        raise NotImplementedError

    def under_cursor(self, entry: Entry | None) -> None:
        """The cursor came to ``entry``."""

    def matched(self, needle: str, text: str) -> Text:
        """``text`` with the letters that the needle hit."""
        inks = inks_of(self)
        out = Text(text, inks.ink("foreground", ""))
        for position in positions(needle, text):
            out.stylize(inks.ink("accent", "", bold=True), position, position + 1)
        return out

    def on_mount(self) -> None:
        self.call_after_refresh(self._find, "")

    def on_resize(self) -> None:
        self.call_after_refresh(self._find, self.query_one(Line).value.strip())

    def _find(self, needle: str) -> None:
        scored = [(score(needle, self.searched(one)), index, one) for index, one in enumerate(self._entries)]
        scored.sort(key=lambda found: (-found[0] if needle else 0, found[1]))
        self._shown = [one for points, _, one in scored if points]
        room = max(20, self.list.size.width - 3 or 40)
        self.list.clear_options()
        self.list.add_options([Option(self.line(one, needle, room)) for one in self._shown])
        if self._shown:
            self.list.highlighted = 0
        else:
            self.under_cursor(None)

    def on_input_changed(self, event: Input.Changed) -> None:
        self._find(event.value.strip())

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        if 0 <= event.option_index < len(self._shown):
            self.under_cursor(self._shown[event.option_index])

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        self._choose()

    def on_input_submitted(self) -> None:
        self._choose()

    def _choose(self) -> None:
        index = self.list.highlighted
        if index is not None and 0 <= index < len(self._shown):
            self.dismiss(self._shown[index])

    def on_key(self, event: events.Key) -> None:
        if (move := MOVES.get(event.key)) is not None:
            event.stop()
            event.prevent_default()
            getattr(self.list, f"action_{move}")()
