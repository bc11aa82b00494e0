"""The changes that the guard of a guest has blocked or noticed, with the content that the guest wanted to write."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual.containers import VerticalScroll
from textual.widget import Widget
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from ccvm_tui.guard.quarantine import BLOCKED, Item, Quarantine
from ccvm_tui.text import plain, printable
from ccvm_tui.tui.dialogs.dialog import DialogScreen
from ccvm_tui.tui.terminal_io.app import inks_of

LINES_MAX = 500
"""The number of lines of a file that are shown."""

_COLOURS = {BLOCKED: "error", "noticed": "warning", "allowed": "success"}


class GuardedChanges(DialogScreen[str]):
    """The list, newest first. The answer is the id of the item that the user allows."""

    DEFAULT_CSS = """
    GuardedChanges Dialog { width: 95%; height: 90%; }
    GuardedChanges OptionList { width: 1fr; height: 40%; border: none; background: $panel; padding: 0; }
    GuardedChanges OptionList > .option-list--option-highlighted { background: $cursor-row; text-style: none; }
    GuardedChanges VerticalScroll { height: 1fr; border-top: solid $line; }
    """
    BINDINGS: ClassVar = [("q", "leave"), ("a", "allow"), ("j", "down"), ("k", "up")]

    def __init__(self, guest: str) -> None:
        super().__init__()
        self.title_text = f"Guard of {plain(guest, 60)}"
        self._quarantine = Quarantine(guest)
        self._items: Sequence[Item] = self._quarantine.items()[::-1]
        self._list = OptionList(markup=False)
        self._content = Static(markup=False)
        self._hint = Static(markup=False, classes="note")

    def inside(self) -> list[Widget]:
        """Return the keys, the list, and the item under its cursor."""
        return [self._hint, self._list, VerticalScroll(self._content)]

    def on_mount(self) -> None:
        """Show the items."""
        inks = inks_of(self)
        hint = Text(" a ", inks.ink("accent", "panel", bold=True))
        hint.append("allow   ", inks.ink("muted", "panel"))
        self._hint.update(hint.append("   Esc closes", inks.ink("faint", "panel")))
        self._list.add_options([Option(self._line(item)) for item in self._items])
        if self._items:
            self._list.highlighted = 0
            self._list.focus()
        else:
            self._content.update(Text("Nothing was blocked or noticed.", inks.ink("muted", "panel")))

    def _line(self, item: Item) -> Text:
        inks = inks_of(self)
        text = Text(no_wrap=True, overflow="ellipsis", end="")
        text.append(time.strftime("%m-%d %H:%M  ", time.localtime(item.time)), inks.ink("faint", ""))
        text.append(f"{plain(item.state, 10):<9}", inks.ink(_COLOURS.get(item.state, "muted"), ""))
        text.append(plain(item.path, 120), inks.ink("foreground", ""))
        return text.append(f"  {plain(item.problems[0] if item.problems else '', 120)}", inks.ink("muted", ""))

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Show the item under the cursor."""
        item = self._items[event.option_index]
        inks = inks_of(self)
        text = Text(f"{plain(item.path, 300)}: {plain(item.reason, 300)}\n", inks.ink("foreground", "panel", bold=True))
        for problem in item.problems:
            text.append(f"  {plain(problem, 300)}\n", inks.ink("error", "panel"))
        lines = self._quarantine.content(item).decode("utf-8", "backslashreplace").splitlines()
        for line in lines[:LINES_MAX]:
            text.append(f"{printable(line.expandtabs())}\n", inks.ink("muted", "panel"))
        if len(lines) > LINES_MAX or not item.complete:
            text.append("… the rest is not shown\n" if lines else "", inks.ink("faint", "panel"))
        self._content.update(text)

    def action_allow(self) -> None:
        """Answer the item under the cursor."""
        if self._list.highlighted is not None:
            self.dismiss(self._items[self._list.highlighted].id)

    def action_down(self) -> None:
        """Move the cursor down."""
        self._list.action_cursor_down()

    def action_up(self) -> None:
        """Move the cursor up."""
        self._list.action_cursor_up()
