"""The pane on the right: what a guest costs and has, and what happened in it."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Static

from ccvm_tui.guest import GuestInfo, SessionInfo
from ccvm_tui.text import plain, size_text, time_text
from ccvm_tui.tui.fleet import Guest
from ccvm_tui.tui.inks import inks_of
from ccvm_tui.tui.plain import fit
from ccvm_tui.tui.tree_rows import guest_sign, session_sign, session_title
from ccvm_tui.tui.widgets.panes import Writer

BARS = "▁▂▃▄▅▆▇█"
EVENTS_SHOWN = 30


def sparkline(values: Sequence[float], width: int, top: float) -> str:
    """The newest ``width`` values as bars; ``top`` fills a cell."""
    shown = list(values)[-width:]
    scale = max(top, 1e-9)
    bars = "".join(BARS[max(0, min(len(BARS) - 1, int(value / scale * (len(BARS) - 0.01))))] for value in shown)
    return bars.rjust(width)


class Details(VerticalScroll, can_focus=False):
    DEFAULT_CSS = "Details { padding: 0 1; scrollbar-size-vertical: 1; } Details > Static { width: 1fr; }"

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._body = Static("", markup=False)
        self._shown: Text | None = None
        self._about: tuple[Guest | None, SessionInfo | None] = (None, None)

    def compose(self) -> ComposeResult:
        yield self._body

    def on_resize(self) -> None:
        self._shown = None
        self.show(*self._about)

    def forget(self) -> None:
        """The theme changed: the same words look different now."""
        self._shown = None

    def show(self, guest: Guest | None, session: SessionInfo | None) -> None:
        self._about = (guest, session)
        writer = Writer(inks_of(self), "surface")
        if guest is None or guest.info is None:
            writer.line().line("No guest is selected.", "muted")
        else:
            self._guest(writer, guest, guest.info)
            if session is not None:
                self._session(writer, session)
            self._events(writer, guest)
        if writer.text != self._shown:
            self._shown = writer.text
            self._body.update(writer.text)

    def _guest(self, writer: Writer, guest: Guest, info: GuestInfo) -> None:
        width = max(8, self.size.width - 21)
        sign = guest_sign(guest)
        usage = info.usage
        writer.put(f"{sign.shape} ", sign.colour).line(plain(info.name, 40), bold=True)
        writer.line()
        top = max(100.0, *guest.cpu) if guest.cpu else 100.0
        writer.put("cpu    ", "muted").put(sparkline(guest.cpu, width, top), "primary").line(f" {usage.cpu:5.0f}%")
        whole = float(info.memory_mib << 20) or max(guest.memory, default=1.0)
        writer.put("memory ", "muted").put(sparkline(guest.memory, width, whole), "success")
        writer.line(f" {size_text(usage.rss):>6}")
        if usage.guest_total:
            used = usage.guest_total - usage.guest_available
            writer.pair("inside", f"{size_text(used)} of {size_text(usage.guest_total)}")
            writer.pair("its load", f"{usage.guest_load:.2f}")
        writer.pair("up", time_text(time.time() - info.started if info.started > 1e9 else usage.uptime))
        writer.pair("accelerator", info.accel or "none")
        if info.accel_reason:
            writer.line(f"  {plain(info.accel_reason, 200)}", "muted")
        writer.pair("machine", plain(info.machine, 20))
        writer.pair("size", f"{info.cores} cores, {info.memory_mib} MiB")
        writer.pair("project", "read only" if info.read_only else "read and write")
        if info.local_dirs:
            writer.pair("kept in guest", plain(", ".join(info.local_dirs), 200))
        writer.pair("network", "outgoing" if info.network == "user" else info.network)
        writer.pair("agent", plain(info.agent, 40) or "none")
        writer.pair("image", info.image[:12] or "none")
        for warning in info.warnings:
            writer.line(f"⚠ {plain(warning, 200)}", "warning")

    def _session(self, writer: Writer, session: SessionInfo) -> None:
        sign = session_sign(session)
        writer.heading(f"Session {session.id}")
        writer.pair("title", session_title(session))
        writer.pair("state", f"{sign.shape} {sign.word}", sign.colour)
        writer.pair("size", f"{session.size.cols}×{session.size.rows}")
        writer.pair("clients", str(session.clients))
        writer.pair("started", f"{time_text(time.time() - session.created)} ago")

    def _events(self, writer: Writer, guest: Guest) -> None:
        writer.heading("Events")
        width = max(10, self.size.width - 9)
        for event in list(guest.events)[-EVENTS_SHOWN:][::-1]:
            clock = time.strftime("%H:%M", time.localtime(event.time))
            who = f"{event.session} " if event.session else ""
            writer.put(f"{clock} ", "faint").line(fit(plain(f"{who}{event.text}", 200), width).rstrip(), "muted")
