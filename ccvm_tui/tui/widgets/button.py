"""A key and what it does, as something to click: `[r] start`."""

from __future__ import annotations

from dataclasses import dataclass

from rich.text import Text
from textual import events
from textual.message import Message
from textual.widgets import Static

from ccvm_tui.tui.inks import inks_of


class Action(Static):
    DEFAULT_CSS = """
    Action { width: auto; height: 1; margin: 1 0 0 0; }
    """

    @dataclass
    class Pressed(Message):
        action: str

    def __init__(self, key: str, label: str, action: str) -> None:
        super().__init__("")
        self._key = key
        self._label = label
        self._action = action

    def on_mount(self) -> None:
        inks = inks_of(self)
        text = Text()
        text.append(f" {self._key} ", inks.ink("accent", "panel", bold=True))
        text.append(f" {self._label} ", inks.ink("foreground", "panel"))
        self.styles.width = len(text)
        self.update(text)

    def on_click(self, event: events.Click) -> None:
        event.stop()
        self.post_message(self.Pressed(self._action))
