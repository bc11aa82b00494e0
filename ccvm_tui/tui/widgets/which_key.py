"""The leader's keys, shown when the leader was pressed and nothing followed."""

from __future__ import annotations

from dataclasses import dataclass

from rich.text import Text
from textual import events
from textual.message import Message
from textual.widgets import Static

from ccvm_tui.tui.bindings import LeaderKeys, shown_key
from ccvm_tui.tui.inks import inks_of

COLUMN = 38
SHORT = {
    "detach": "back to the tree", "help": "help", "switch": "find a session", "next": "next session",
    "previous": "previous session", "last": "last session", "attention": "next that waits", "shell": "new shell",
    "agent": "new agent", "zoom": "zoom: whole terminal", "scrollback": "scrollback, search, copy",
    "sidebar": "sidebar on and off", "tile": "tile", "end": "end this session", "palette": "command palette",
}  # fmt: skip


class WhichKey(Static):
    DEFAULT_CSS = """
    WhichKey {
        layer: above; dock: bottom; height: auto; width: 1fr; margin-bottom: 1; padding: 0 2;
        background: $panel; border-top: solid $line; display: none;
    }
    WhichKey.-shown { display: block; }
    """

    @dataclass
    class Chosen(Message):
        action: str

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__("", id=id, markup=False)
        self._grid: list[list[str]] = []

    def open(self, leader: LeaderKeys) -> None:
        inks = inks_of(self)
        width = max(40, self.app.size.width - 4)
        columns = max(1, width // COLUMN)
        entries = [(shown_key(binding.key), SHORT.get(binding.action, binding.about), binding.action)
                   for binding in leader.bindings]  # fmt: skip
        entries += [("1-9", "session by number", ""), (shown_key(leader.leader), "send it to the program", "")]
        rows = -(-len(entries) // columns)
        text = Text()
        self._grid = []
        for row in range(rows):
            line: list[str] = []
            for column in range(columns):
                at = column * rows + row
                if at >= len(entries):
                    continue
                key, about, action = entries[at]
                text.append(f"{key:>8} ", inks.ink("accent", "panel", bold=True))
                text.append(f"{about[: COLUMN - 11]:<{COLUMN - 9}}", inks.ink("foreground", "panel"))
                line.append(action)
            self._grid.append(line)
            text.append("\n" if row < rows - 1 else "")
        self.update(text)
        self.add_class("-shown")

    def close(self) -> None:
        self.remove_class("-shown")

    def on_click(self, event: events.Click) -> None:
        event.stop()
        row, column = int(event.y) - 1, (int(event.x) - 2) // COLUMN
        if 0 <= row < len(self._grid) and 0 <= column < len(self._grid[row]) and self._grid[row][column]:
            self.post_message(self.Chosen(self._grid[row][column]))
