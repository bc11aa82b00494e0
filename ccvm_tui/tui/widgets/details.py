"""The pane on the right: the resources and permissions of a guest, and its events."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Static

from ccvm_tui.attempt.losses import counted, losses
from ccvm_tui.guest import AttemptInfo, GuestInfo, SessionInfo
from ccvm_tui.text import plain, size_text, time_text
from ccvm_tui.tui.model.guests import Guest
from ccvm_tui.tui.model.sessions import session_title
from ccvm_tui.tui.model.signs import guest_sign, session_sign
from ccvm_tui.tui.terminal_io.app import inks_of
from ccvm_tui.tui.terminal_io.strips import fit
from ccvm_tui.tui.widgets.page import Writer

BARS = "▁▂▃▄▅▆▇█"
EVENTS_SHOWN = 30


def sparkline(values: Sequence[float], width: int, top: float) -> str:
    """Return the newest ``width`` values as bars; the value ``top`` fills a cell."""
    shown = list(values)[-width:]
    scale = max(top, 1e-9)
    bars = "".join(BARS[max(0, min(len(BARS) - 1, int(value / scale * (len(BARS) - 0.01))))] for value in shown)
    return bars.rjust(width)


def _ports_text(info: GuestInfo) -> str:
    """Return the ports on which programs listen, and from where they are forwarded."""
    hosts = {forward.guest: forward.host for forward in info.forwards}
    ports = sorted({*info.usage.ports, *hosts})
    return plain(", ".join(f"{port} ← :{hosts[port]}" if port in hosts else str(port) for port in ports), 200)


def _write_attempt(writer: Writer, attempt: AttemptInfo) -> None:
    writer.pair("attempt", plain(attempt.name, 40))
    writer.pair("branch", plain(attempt.branch, 60) or "none")
    writer.pair("commits", f"{attempt.ahead} ahead, {attempt.behind} behind")
    writer.pair("changed", counted(attempt.changed, "file"))
    for loss in losses(attempt):
        writer.line(f"⚠ {plain(loss, 200)}", "warning")


class Details(VerticalScroll, can_focus=False):
    """Details about the selected guest and the current session."""

    DEFAULT_CSS = "Details { padding: 0 1; scrollbar-size-vertical: 1; } Details > Static { width: 1fr; }"

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._body = Static("", markup=False)
        self._text: Text | None = None
        self._subject: tuple[Guest | None, SessionInfo | None] = (None, None)

    def compose(self) -> ComposeResult:
        """Yield the text."""
        yield self._body

    def on_resize(self) -> None:
        """Draw the details in the new width."""
        self._text = None
        self.show(*self._subject)

    def theme_changed(self) -> None:
        """Draw everything again at the next call of ``show``."""
        self._text = None

    def show(self, guest: Guest | None, session: SessionInfo | None) -> None:
        """Show the details of a guest, and of a session if there is one."""
        self._subject = (guest, session)
        writer = Writer(inks_of(self), "surface")
        if guest is None or guest.info is None:
            writer.line().line("No guest is selected.", "muted")
        else:
            self._write_guest(writer, guest, guest.info)
            if session is not None:
                self._write_session(writer, session)
            self._write_events(writer, guest)
        if writer.text != self._text:
            self._text = writer.text
            self._body.update(writer.text)

    def _write_guest(self, writer: Writer, guest: Guest, info: GuestInfo) -> None:
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
            writer.pair("used in guest", f"{size_text(used)} of {size_text(usage.guest_total)}")
            writer.pair("load in guest", f"{usage.guest_load:.2f}")
        writer.pair("up", time_text(time.time() - info.started if info.started > 1e9 else usage.uptime))
        writer.pair("accelerator", info.accel or "none")
        if info.accel_reason:
            writer.line(f"  {plain(info.accel_reason, 200)}", "muted")
        writer.pair("machine", plain(info.machine, 20))
        writer.pair("size", f"{info.cores} cores, {info.memory_mib} MiB")
        if info.attempt is not None:
            _write_attempt(writer, info.attempt)
        else:
            writer.pair("project", "read only" if info.read_only else "read and write")
        if info.local_dirs:
            writer.pair("local dirs", plain(", ".join(info.local_dirs), 200))
        writer.pair("egress", plain(info.egress.mode, 20))
        if not info.egress.connected:
            writer.line("⚠ the guest has no way out: its proxy or the gate in it does not run", "warning")
        if info.egress.refused:
            writer.line(f"  {info.egress.refused} connections were refused", "muted")
        if ports := _ports_text(info):
            writer.pair("ports", ports)
        writer.pair("agent", plain(info.agent, 40) or "none")
        writer.pair("image", info.image[:12] or "none")
        for warning in info.warnings:
            writer.line(f"⚠ {plain(warning, 200)}", "warning")

    def _write_session(self, writer: Writer, session: SessionInfo) -> None:
        sign = session_sign(session)
        writer.heading(f"Session {session.id}")
        writer.pair("title", session_title(session))
        writer.pair("state", f"{sign.shape} {sign.word}", sign.colour)
        writer.pair("size", f"{session.size.cols}×{session.size.rows}")
        writer.pair("clients", str(session.clients))
        writer.pair("started", f"{time_text(time.time() - session.created)} ago")

    def _write_events(self, writer: Writer, guest: Guest) -> None:
        writer.heading("Events")
        width = max(10, self.size.width - 9)
        for event in list(guest.events)[-EVENTS_SHOWN:][::-1]:
            clock = time.strftime("%H:%M", time.localtime(event.time))
            text = plain(f"{event.session} {event.text}".strip(), 200)
            writer.put(f"{clock} ", "faint").line(fit(text, width).rstrip(), "muted")
