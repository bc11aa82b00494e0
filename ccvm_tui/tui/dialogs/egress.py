"""The egress of a guest: its connections, live, and totals for each host."""

from __future__ import annotations

import time
from typing import ClassVar

from rich.text import Text
from textual.containers import VerticalScroll
from textual.widget import Widget
from textual.widgets import Static

from ccvm_tui.errors import UserError
from ccvm_tui.text import plain, size_text
from ccvm_tui.tui.dialogs.dialog import DialogScreen
from ccvm_tui.tui.model.egress import Connections
from ccvm_tui.tui.model.guests import Guest
from ccvm_tui.tui.terminal_io.app import inks_of
from ccvm_tui.tui.widgets.controls import CancellableInput, run_in_background

REFRESH_INTERVAL = 0.5
"""Seconds between two requests to the keeper."""

LINES = 500
"""The number of connections that are shown."""

_INKS = {"refused": "error", "failed": "warning", "held": "warning", "open": "success"}


class Egress(DialogScreen[None]):
    """The connections of one guest, which are requested from its keeper again and again."""

    DEFAULT_CSS = """
    Egress Dialog { width: 95%; height: 90%; }
    Egress VerticalScroll { height: 1fr; }
    """
    BINDINGS: ClassVar = [("q", "leave"), ("t", "toggle_totals"), ("slash", "filter")]

    def __init__(self, guest: Guest) -> None:
        super().__init__()
        self._guest = guest
        self._connections = Connections()
        self._totals = False
        self._problem = ""
        self._lines = Static(markup=False)
        self._scroll_area = VerticalScroll(self._lines, can_focus=True)
        self._hint = Static(markup=False, classes="note")
        self._filter = CancellableInput(placeholder="filter: a host, refused, open …")
        mode = guest.info.egress.mode if guest.info is not None else ""
        self.title_text = f"Egress of {plain(guest.name, 60)}: {plain(mode, 20)}"

    def inside(self) -> list[Widget]:
        """Return the keys, the filter and the connections."""
        return [self._hint, self._filter, self._scroll_area]

    def on_mount(self) -> None:
        """Start to request the connections."""
        self._scroll_area.focus()
        self._show()
        self._request()
        self.set_interval(REFRESH_INTERVAL, self._request)

    def _request(self) -> None:
        run_in_background(self, self._update, "egress", group="egress", exclusive=True)

    async def _update(self) -> None:
        keeper = self._guest.keeper
        try:
            if keeper is not None:
                self._connections.update(await keeper.egress(self._connections.version))
            self._problem = "" if keeper is not None else "the guest has ended"
        except UserError as error:
            self._problem = error.message
        self._show()

    def on_input_changed(self) -> None:
        """Show what matches the filter."""
        self._show()

    def on_input_submitted(self) -> None:
        """Return to the connections, and keep the filter."""
        self._scroll_area.focus()

    def on_cancellable_input_cancelled(self) -> None:
        """Return to the connections, and remove the filter."""
        self._filter.value = ""
        self._scroll_area.focus()

    def action_filter(self) -> None:
        """Let the user type a filter."""
        self._filter.focus()

    def action_toggle_totals(self) -> None:
        """Show totals instead of connections, or the other way around."""
        self._totals = not self._totals
        self._show()

    def _show(self) -> None:
        inks = inks_of(self)
        at_end = self._scroll_area.scroll_offset.y >= self._scroll_area.max_scroll_y
        hint = Text()
        for key, label in (("/", "filter"), ("t", "connections" if self._totals else "totals"), ("Esc", "close")):
            hint.append(f" {key} ", inks.ink("accent", "panel", bold=True))
            hint.append(f"{label}   ", inks.ink("muted", "panel"))
        hint.append(plain(self._problem, 200), inks.ink("warning", "panel"))
        self._hint.update(hint)
        text = self._totals_text() if self._totals else self._connections_text()
        self._lines.update(text if text else Text("no connection yet", inks.ink("muted", "panel")))
        if at_end:
            self._scroll_area.scroll_end(animate=False)

    def _connections_text(self) -> Text:
        inks = inks_of(self)
        text = Text()
        for attempt in self._connections.matching(self._filter.value)[-LINES:]:
            clock = time.strftime("%H:%M:%S", time.localtime(attempt.time))
            text.append(f"{clock}  ", inks.ink("faint", "panel"))
            text.append(f"{plain(attempt.outcome, 8):<8} ", inks.ink(_INKS.get(attempt.outcome, "muted"), "panel"))
            text.append(f"{plain(attempt.host, 253)}:{attempt.port}  ", inks.ink("foreground", "panel"))
            if attempt.session:
                text.append(f"{plain(attempt.session, 20)}  ", inks.ink("faint", "panel"))
            moved = f"{size_text(attempt.sent)} out, {size_text(attempt.received)} in"
            detail = moved if attempt.outcome == "closed" else plain(attempt.reason, 200)
            text.append(f"{detail}\n", inks.ink("muted", "panel"))
        return text

    def _totals_text(self) -> Text:
        inks = inks_of(self)
        text = Text()
        for target, total in self._connections.totals(self._filter.value).items():
            text.append(f"{total.attempts:>6} ", inks.ink("primary", "panel"))
            text.append(f"{plain(target, 260)}  ", inks.ink("foreground", "panel"))
            text.append(f"{size_text(total.sent)} out, {size_text(total.received)} in", inks.ink("muted", "panel"))
            if total.refused:
                text.append(f", {total.refused} refused", inks.ink("error", "panel"))
            text.append("\n")
        return text
