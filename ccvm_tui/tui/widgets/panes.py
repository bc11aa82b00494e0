"""What the main area shows when it shows no session: a project at rest, a boot, a death, nothing yet."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.message import Message
from textual.widgets import Static

from ccvm_tui.client.ends import End
from ccvm_tui.config import Settings
from ccvm_tui.guest import GuestInfo, GuestState
from ccvm_tui.text import plain, plain_lines, time_text
from ccvm_tui.tui import workers
from ccvm_tui.tui.fleet import Contact, Guest
from ccvm_tui.tui.inks import Inks, inks_of
from ccvm_tui.tui.projects import ProjectEntry
from ccvm_tui.tui.tree_rows import guest_sign
from ccvm_tui.tui.widgets.button import Action

CONSOLE_LINES = 12
NOTHING = Text()


class Pane(VerticalScroll, can_focus=False):
    """Text, and buttons under it."""

    DEFAULT_CSS = """
    Pane { padding: 1 3; height: 1fr; width: 1fr; background: $background; scrollbar-size-vertical: 1; }
    Pane > Static { width: 1fr; max-width: 100; height: auto; }
    Pane > Vertical { height: auto; margin-top: 1; }
    Pane > Vertical > Action { margin: 0; }
    """

    @dataclass
    class Asked(Message):
        action: str

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._body = Static("", markup=False)
        self._row = Vertical()
        self._rest = Static("", markup=False)
        self._actions: tuple[tuple[str, str, str], ...] = ()
        self._shown: tuple[Text, Text] | None = None

    def compose(self) -> ComposeResult:
        yield self._body
        yield self._row
        yield self._rest

    def forget(self) -> None:
        """The theme changed: the same words look different now."""
        self._shown = None
        self._actions = ()

    def show(self, text: Text, actions: tuple[tuple[str, str, str], ...] = (), rest: Text = NOTHING) -> None:
        """``actions`` are (key, label, action); ``rest`` is what may be out of view on a small screen."""
        if self._shown != (text, rest):
            self._shown = (text, rest)
            self._body.update(text)
            self._rest.update(rest)
        if actions != self._actions:
            self._actions = actions
            workers.start(self, partial(self._renew, actions), "actions", "actions", exclusive=True)

    async def _renew(self, actions: tuple[tuple[str, str, str], ...]) -> None:
        await self._row.query(Action).remove()
        await self._row.mount(*(Action(key, label, action) for key, label, action in actions))

    def on_action_pressed(self, event: Action.Pressed) -> None:
        event.stop()
        self.post_message(self.Asked(event.action))


class Writer:
    """Lines in the theme's inks."""

    def __init__(self, inks: Inks, ground: str = "background") -> None:
        self.text = Text(no_wrap=False)
        self._inks = inks
        self._ground = ground

    def put(self, text: str, colour: str = "foreground", *, bold: bool = False) -> Writer:
        self.text.append(text, self._inks.ink(colour, self._ground, bold=bold))
        return self

    def line(self, text: str = "", colour: str = "foreground", *, bold: bool = False) -> Writer:
        return self.put(text + "\n", colour, bold=bold)

    def pair(self, name: str, value: str, colour: str = "foreground") -> Writer:
        return self.put(f"  {name:<14}", "muted").line(value, colour)

    def heading(self, text: str) -> Writer:
        return self.line().line(text, "primary", bold=True)


def welcome(pane: Pane) -> None:
    writer = Writer(inks_of(pane))
    writer.line("Nothing here yet", "foreground", bold=True).line()
    writer.put("A project is a directory. Its guest is a small virtual machine that sees that directory ", "muted")
    writer.line("and nothing else; when it stops, all but your files is gone.", "muted").line()
    writer.put("Press ", "muted").put("+", "accent", bold=True).put(" to add a directory, and then ", "muted")
    writer.put("r", "accent", bold=True).line(" to start its guest.", "muted")
    pane.show(writer.text, (("+", "add a project", "add"), ("?", "help", "help")))


def project(pane: Pane, entry: ProjectEntry, settings: Settings | None, trouble: str = "", note: str = "") -> None:
    """A project whose guest does not run."""
    writer = Writer(inks_of(pane))
    writer.line(plain(entry.name, 80), "foreground", bold=True).line(plain(entry.path, 300), "muted")
    if entry.death is not None:
        _death(writer, entry.death)
    if trouble:
        writer.line().line(f"✗ {plain(trouble, 400)}", "error")
    if note:
        writer.line().put("◐ ", "warning").line(plain(note, 200), "warning")
    head, writer = writer.text, Writer(inks_of(pane))
    if settings is not None:
        writer.heading("Its guest would have")
        writer.pair("memory", f"{settings.memory} MiB")
        writer.pair("cores", str(settings.cores))
        writer.pair("accelerator", settings.accel)
        writer.pair("agent", settings.agent if settings.agent != "none" else "none, a shell")
        writer.pair("project", "read and write" if settings.writable_cwd else "read only, edits stay inside")
        writer.pair("network", "outgoing connections" if settings.network == "user" else "none")
        writer.pair("when empty", "stays" if settings.linger else "stops with its last session")
    if entry.last:
        reason = entry.end.reason if entry.end is not None and entry.death is None else ""
        how = f": {plain(reason, 200)}" if reason not in ("", "stopped") else ""
        writer.line().line(f"Last run {time_text(time.time() - entry.last)} ago{how}", "muted")
    again = "start again" if entry.death is not None else "start"
    actions = (
        ("r", again, "run"), ("g", "start with an agent", "agent"), ("c", "start with a shell", "shell"),
        ("e", "settings", "settings"),
    )  # fmt: skip
    pane.show(head, (("S", "cancel", "stop"),) if note else actions, writer.text)


def _death(writer: Writer, death: End) -> None:
    writer.line().put("✗ died ", "error", bold=True).put(plain(death.reason, 300), "foreground")
    writer.line(f"   {time_text(time.time() - death.ended)} ago", "muted")
    console(writer, death.console_tail, "The last lines of its console")


def console(writer: Writer, text: str, heading: str) -> None:
    if lines := [line for line in plain_lines(text, CONSOLE_LINES) if line]:
        writer.heading(heading)
        for line in lines:
            writer.line(f"  {line}", "muted")


def boot(pane: Pane, guest: Guest, info: GuestInfo, now: float) -> None:
    """A guest on its way: the phases with their times, and what the console says."""
    writer = Writer(inks_of(pane))
    sign = guest_sign(guest)
    writer.put(f"{sign.shape} ", sign.colour).put(plain(guest.name, 60), bold=True)
    writer.line(f"  {sign.word}", sign.colour).line(plain(info.project, 300), "muted").line()
    for phase in info.phases:
        ended = phase.ended >= 0
        took = (phase.ended if ended else max(phase.started, now - info.started)) - phase.started
        mark, colour = ("✓", "success") if ended else ("◐", "warning")
        if not ended and info.state is GuestState.FAILED:
            mark, colour = "✗", "error"
        writer.put(f"  {mark} ", colour).put(f"{plain(phase.name, 30):<18}", "foreground" if ended else colour)
        writer.line(f"{took:6.1f} s", "muted")
    if info.state is GuestState.FAILED or info.reason:
        writer.line().line(f"✗ {plain(info.reason, 400)}", "error")
    for warning in info.warnings:
        writer.line().line(f"⚠ {plain(warning, 300)}", "warning")
    console(writer, guest.console, "Console")
    pane.show(writer.text, (("S", "stop", "stop"), ("l", "logs", "logs")))


def guest_card(pane: Pane, guest: Guest) -> None:
    """A running guest without a session to show, or one that we cannot talk to."""
    writer = Writer(inks_of(pane))
    sign = guest_sign(guest)
    writer.put(f"{sign.shape} ", sign.colour).put(plain(guest.name, 60), bold=True)
    writer.line(f"  {sign.word}", sign.colour).line(plain(guest.project, 300), "muted").line()
    match guest.contact:
        case Contact.FOREIGN:
            writer.line(f"Its keeper is of version {plain(guest.version, 20) or '?'} and speaks another protocol.")
            writer.line("It can be stopped from here; its sessions show in the version that started it.", "muted")
            pane.show(writer.text, (("S", "stop", "stop"),))
            return
        case Contact.HUNG:
            writer.line("Its keeper holds the guest but does not answer.")
            writer.line("Stopping it by force ends the guest and its sessions.", "muted")
            pane.show(writer.text, (("S", "stop", "stop"),))
            return
        case Contact.CONNECTING:
            writer.line("Connecting …", "muted")
            pane.show(writer.text)
            return
    if guest.info is not None and guest.info.state is GuestState.PAUSED:
        writer.line("The guest is frozen: it uses no processor, and its sessions wait.")
        pane.show(writer.text, (("P", "let it go on", "pause"), ("S", "stop", "stop")))
        return
    writer.line("No session is open in it.", "muted")
    pane.show(writer.text, (("c", "new shell", "shell"), ("g", "new agent", "agent"), ("S", "stop", "stop")))
