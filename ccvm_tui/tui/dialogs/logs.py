"""What happened in a guest, and what its console said."""

from __future__ import annotations

import time
from typing import ClassVar

from rich.text import Text
from textual.containers import VerticalScroll
from textual.widget import Widget
from textual.widgets import Static

from ccvm_tui.text import plain
from ccvm_tui.tui.dialogs.dialog import DialogScreen
from ccvm_tui.tui.fleet import Guest
from ccvm_tui.tui.inks import inks_of
from ccvm_tui.tui.log_files import console_lines, recorded_events

LINES = 400
REFRESH_EVERY = 1.0


class Logs(DialogScreen[None]):
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
        self._what = "events"
        self._text = Static(markup=False)
        self._scroll = VerticalScroll(self._text, can_focus=True)
        self._hint = Static(markup=False, classes="note")
        self.title_text = f"Logs of {plain(guest.name, 60)}"

    def inside(self) -> list[Widget]:
        return [self._hint, self._scroll]

    def on_mount(self) -> None:
        self._show()
        self._scroll.focus()
        self._scroll.scroll_end(animate=False)
        self.set_interval(REFRESH_EVERY, self._show)

    def _show(self) -> None:
        inks = inks_of(self)
        at_end = self._scroll.scroll_offset.y >= self._scroll.max_scroll_y
        hint = Text()
        for key, name in (("e", "events"), ("c", "console")):
            here = name == self._what
            hint.append(f" {key} ", inks.ink("accent", "panel", bold=True))
            hint.append(f"{name}   ", inks.ink("primary" if here else "muted", "panel", bold=here))
        hint.append("   Esc leaves", inks.ink("faint", "panel"))
        self._hint.update(hint)
        text = Text()
        if self._what == "events":
            for event in recorded_events(self._guest.name, LINES) or list(self._guest.events):
                clock = time.strftime("%H:%M:%S", time.localtime(event.time))
                text.append(f"{clock}  ", inks.ink("faint", "panel"))
                text.append(f"{plain(event.kind, 12):<10} ", inks.ink("primary", "panel"))
                text.append(plain(f"{event.session} {event.text}".strip(), 300) + "\n", inks.ink("foreground", "panel"))
        else:
            for line in console_lines(self._guest.name, self._guest.console, LINES):
                text.append(line + "\n", inks.ink("foreground", "panel"))
        self._text.update(text if text else Text("nothing yet", inks.ink("muted", "panel")))
        if at_end:
            self._scroll.scroll_end(animate=False)

    def action_show(self, what: str) -> None:
        self._what = what
        self._show()
        self._scroll.scroll_end(animate=False)

    def action_other(self) -> None:
        self.action_show("console" if self._what == "events" else "events")

    def action_down(self) -> None:
        self._scroll.scroll_down(animate=False)

    def action_up(self) -> None:
        self._scroll.scroll_up(animate=False)

    def action_end(self) -> None:
        self._scroll.scroll_end(animate=False)

    def action_home(self) -> None:
        self._scroll.scroll_home(animate=False)
