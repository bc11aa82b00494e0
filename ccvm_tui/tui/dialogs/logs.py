"""The events of a guest, and the output of its console."""

from __future__ import annotations

import time
from typing import ClassVar

from rich.text import Text
from textual.containers import VerticalScroll
from textual.widget import Widget
from textual.widgets import Static

from ccvm_tui.text import plain
from ccvm_tui.tui.dialogs.dialog import DialogScreen
from ccvm_tui.tui.model.guests import Guest, console_lines, logged_events
from ccvm_tui.tui.terminal_io.app import inks_of

LINES = 400
"""The number of events or lines that are shown."""

REFRESH_INTERVAL = 1.0
"""Seconds between two reads of the log."""


class Logs(DialogScreen[None]):
    """The logs of one guest, which are read again every second."""

    DEFAULT_CSS = """
    Logs Dialog { width: 95%; height: 90%; }
    Logs VerticalScroll { height: 1fr; }
    """
    BINDINGS: ClassVar = [
        ("q", "leave"), ("tab", "other"), ("e", "show('events')"), ("c", "show('console')"),
        ("j", "down"), ("k", "up"), ("G", "end"), ("g", "home"),
    ]  # fmt: skip

    def __init__(self, guest: Guest) -> None:
        super().__init__()
        self._guest = guest
        self._log = "events"
        self._lines = Static(markup=False)
        self._scroll_area = VerticalScroll(self._lines, can_focus=True)
        self._hint = Static(markup=False, classes="note")
        self.title_text = f"Logs of {plain(guest.name, 60)}"

    def inside(self) -> list[Widget]:
        """Return the names of the logs and the text."""
        return [self._hint, self._scroll_area]

    def on_mount(self) -> None:
        """Show the events."""
        self._show()
        self._scroll_area.focus()
        self._scroll_area.scroll_end(animate=False)
        self.set_interval(REFRESH_INTERVAL, self._show)

    def _show(self) -> None:
        at_end = self._scroll_area.scroll_offset.y >= self._scroll_area.max_scroll_y
        self._hint.update(self._hint_text())
        text = self._events_text() if self._log == "events" else self._console_text()
        self._lines.update(text if text else Text("nothing yet", inks_of(self).ink("muted", "panel")))
        if at_end:
            self._scroll_area.scroll_end(animate=False)

    def _hint_text(self) -> Text:
        inks = inks_of(self)
        hint = Text()
        for key, name in (("e", "events"), ("c", "console")):
            shown = name == self._log
            hint.append(f" {key} ", inks.ink("accent", "panel", bold=True))
            hint.append(f"{name}   ", inks.ink("primary" if shown else "muted", "panel", bold=shown))
        hint.append("   Esc closes", inks.ink("faint", "panel"))
        return hint

    def _events_text(self) -> Text:
        inks = inks_of(self)
        text = Text()
        for event in logged_events(self._guest.name, LINES) or list(self._guest.events):
            clock = time.strftime("%H:%M:%S", time.localtime(event.time))
            text.append(f"{clock}  ", inks.ink("faint", "panel"))
            text.append(f"{plain(event.kind, 12):<10} ", inks.ink("primary", "panel"))
            text.append(plain(f"{event.session} {event.text}".strip(), 300) + "\n", inks.ink("foreground", "panel"))
        return text

    def _console_text(self) -> Text:
        ink = inks_of(self).ink("foreground", "panel")
        text = Text()
        for line in console_lines(self._guest, LINES):
            text.append(line + "\n", ink)
        return text

    def action_show(self, log: str) -> None:
        """Show a log, ``events`` or ``console``."""
        self._log = log
        self._show()
        self._scroll_area.scroll_end(animate=False)

    def action_other(self) -> None:
        """Show the other log."""
        self.action_show("console" if self._log == "events" else "events")

    def action_down(self) -> None:
        """Scroll down."""
        self._scroll_area.scroll_down(animate=False)

    def action_up(self) -> None:
        """Scroll up."""
        self._scroll_area.scroll_up(animate=False)

    def action_end(self) -> None:
        """Scroll to the end."""
        self._scroll_area.scroll_end(animate=False)

    def action_home(self) -> None:
        """Scroll to the beginning."""
        self._scroll_area.scroll_home(animate=False)
