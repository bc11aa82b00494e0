"""The page in the main area when no session is shown there: a project, a boot, the end of a guest, or a welcome."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import partial

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.widgets import Static

from ccvm_tui.boot import egress
from ccvm_tui.config import Settings
from ccvm_tui.errors import ConfigError
from ccvm_tui.guest import GuestInfo, GuestState
from ccvm_tui.text import plain, plain_lines, time_text
from ccvm_tui.tui.actions.table import (
    ADD,
    AGENT,
    HELP,
    LOGS,
    PAUSE,
    RUN,
    SETTINGS,
    SHELL,
    STOP,
    Action,
    shown_key,
)
from ccvm_tui.tui.model.guests import Contact, Guest
from ccvm_tui.tui.model.model import Model
from ccvm_tui.tui.model.projects import ProjectEntry, project_settings
from ccvm_tui.tui.model.signs import guest_sign
from ccvm_tui.tui.model.tree_rows import TreeRow
from ccvm_tui.tui.theme import Inks
from ccvm_tui.tui.widgets.controls import ActionRequested, KeyButton, run_in_background

CONSOLE_LINES = 12
"""The number of lines of a guest's console that are shown."""


@dataclass(frozen=True, slots=True)
class Button:
    """A button that requests an action, with a label that fits the page."""

    action: Action
    label: str


@dataclass(frozen=True, slots=True)
class PageContent:
    """The content of a page: text, buttons, and more text, which may be out of view on a small screen."""

    text: Text
    buttons: tuple[Button, ...] = ()
    more: Text = field(default_factory=Text)


class Page(VerticalScroll, can_focus=False):
    """A page with buttons."""

    DEFAULT_CSS = """
    Page { padding: 1 3; height: 1fr; width: 1fr; background: $background; scrollbar-size-vertical: 1; }
    Page > Static { width: 1fr; max-width: 100; height: auto; }
    Page > Vertical { height: auto; margin-top: 1; }
    Page > Vertical > KeyButton { margin: 0; }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._upper = Static("", markup=False)
        self._button_column = Vertical()
        self._lower = Static("", markup=False)
        self._content = PageContent(Text())

    def compose(self) -> ComposeResult:
        """Yield the parts of the page."""
        yield self._upper
        yield self._button_column
        yield self._lower

    def theme_changed(self) -> None:
        """Draw everything again at the next call of ``show``."""
        self._content = PageContent(Text())

    def show(self, content: PageContent) -> None:
        """Show ``content`` in place of the content before."""
        before, self._content = self._content, content
        if (content.text, content.more) != (before.text, before.more):
            self._upper.update(content.text)
            self._lower.update(content.more)
        if content.buttons != before.buttons:
            work = partial(self._replace_buttons, content.buttons)
            run_in_background(self, work, "buttons", group="buttons", exclusive=True)

    async def _replace_buttons(self, buttons: tuple[Button, ...]) -> None:
        await self._button_column.query(KeyButton).remove()
        await self._button_column.mount(
            *(
                KeyButton(shown_key(button.action.tree_key), button.label, partial(ActionRequested, button.action))
                for button in buttons
            )
        )


class Writer:
    """A writer of lines in the theme's colours on the colour ``ground``. ``text`` is what was written."""

    def __init__(self, inks: Inks, ground: str = "background") -> None:
        self.text = Text(no_wrap=False)
        self._inks = inks
        self._ground = ground

    def put(self, text: str, colour: str = "foreground", *, bold: bool = False) -> Writer:
        """Write text."""
        self.text.append(text, self._inks.ink(colour, self._ground, bold=bold))
        return self

    def line(self, text: str = "", colour: str = "foreground", *, bold: bool = False) -> Writer:
        """Write text and end the line."""
        return self.put(text + "\n", colour, bold=bold)

    def pair(self, name: str, value: str, colour: str = "foreground") -> Writer:
        """Write a name and a value on one line."""
        return self.put(f"  {name:<14}", "muted").line(value, colour)

    def heading(self, text: str) -> Writer:
        """Write an empty line and a heading."""
        return self.line().line(text, "primary", bold=True)


# --- content ----------------------------------------------------------------------------------------------------


def page_content(model: Model, row: TreeRow | None, inks: Inks) -> PageContent:
    """Return the page about a row of the tree."""
    if row is None:
        return _welcome(inks)
    guest = model.guest_of(row)
    if guest is not None:
        if guest.state in (GuestState.BOOTING, GuestState.FAILED, GuestState.STOPPING) and guest.info is not None:
            return _boot(inks, guest, guest.info, time.time())
        return _guest(inks, guest)
    entry = model.entry(row.project)
    if entry is None:
        return _welcome(inks)
    error = model.starts.errors.get(entry.path, "")
    try:
        settings = project_settings(entry.path)
    except ConfigError as invalid:
        settings, error = None, str(invalid)
    return _project(inks, entry, settings, error, model.starts.notes.get(entry.path, ""))


def _welcome(inks: Inks) -> PageContent:
    writer = Writer(inks)
    writer.line("No projects yet", "foreground", bold=True).line()
    writer.put(
        "A project is a directory. Its guest is a small virtual machine that can access this directory ", "muted"
    )
    writer.line("and nothing else. When the guest stops, everything but your files is discarded.", "muted").line()
    writer.put("Press ", "muted").put(shown_key(ADD.tree_key), "accent", bold=True).put(
        " to add a directory, ", "muted"
    )
    writer.put("then ", "muted").put(shown_key(RUN.tree_key), "accent", bold=True)
    writer.line(" to start its guest.", "muted")
    return PageContent(writer.text, (Button(ADD, "add a project"), Button(HELP, "help")))


def _project(inks: Inks, entry: ProjectEntry, settings: Settings | None, error: str, note: str) -> PageContent:
    """Return the page of a project without a running guest."""
    upper, lower = Writer(inks), Writer(inks)
    upper.line(plain(entry.name, 80), "foreground", bold=True).line(plain(entry.path, 300), "muted")
    if (death := entry.death) is not None:
        upper.line().put("✗ died ", "error", bold=True).put(plain(death.reason, 300), "foreground")
        upper.line(f"   {time_text(time.time() - death.ended)} ago", "muted")
        _write_console(upper, death.console_tail, "End of its console")
    if error:
        upper.line().line(f"✗ {plain(error, 400)}", "error")
    if note:
        upper.line().put("◐ ", "warning").line(plain(note, 200), "warning")
    if settings is not None:
        lower.heading("Guest settings")
        lower.pair("memory", f"{settings.memory} MiB")
        lower.pair("cores", str(settings.cores))
        lower.pair("accelerator", settings.accel)
        lower.pair("agent", settings.agent if settings.agent != "none" else "none, a shell")
        lower.pair("project", "read and write" if settings.writable_cwd else "read only, edits are discarded")
        lower.pair("egress", egress.mode(settings))
        lower.pair("last session", "the guest keeps running" if settings.linger else "the guest stops with it")
    if entry.last:
        reason = entry.end.reason if entry.end is not None and death is None else ""
        how = f": {plain(reason, 200)}" if reason not in ("", "stopped") else ""
        lower.line().line(f"Last run {time_text(time.time() - entry.last)} ago{how}", "muted")
    if note:
        return PageContent(upper.text, (Button(STOP, "cancel"),), lower.text)
    buttons = (
        Button(RUN, "start again" if death is not None else "start"),
        Button(AGENT, "start with an agent"),
        Button(SHELL, "start with a shell"),
        Button(SETTINGS, "settings"),
    )
    return PageContent(upper.text, buttons, lower.text)


def _write_console(writer: Writer, text: str, heading: str) -> None:
    if lines := [line for line in plain_lines(text, CONSOLE_LINES) if line]:
        writer.heading(heading)
        for line in lines:
            writer.line(f"  {line}", "muted")


def _write_guest(writer: Writer, guest: Guest) -> None:
    sign = guest_sign(guest)
    writer.put(f"{sign.shape} ", sign.colour).put(plain(guest.name, 60), bold=True)
    writer.line(f"  {sign.word}", sign.colour).line(plain(guest.project, 300), "muted").line()


def _boot(inks: Inks, guest: Guest, info: GuestInfo, now: float) -> PageContent:
    """Return the page of a guest that is booting or ending: the phases of its boot and its console."""
    writer = Writer(inks)
    _write_guest(writer, guest)
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
    _write_console(writer, guest.console, "Console")
    return PageContent(writer.text, (Button(STOP, "stop"), Button(LOGS, "logs")))


def _guest(inks: Inks, guest: Guest) -> PageContent:
    """Return the page of a running guest without sessions, or of one whose keeper cannot be used."""
    writer = Writer(inks)
    _write_guest(writer, guest)
    stop = Button(STOP, "stop")
    match guest.contact:
        case Contact.FOREIGN:
            writer.line(f"Its keeper is of version {plain(guest.version, 20) or '?'} and uses another protocol.")
            writer.line("You can stop the guest here. Its sessions can be used with that version only.", "muted")
            return PageContent(writer.text, (stop,))
        case Contact.HUNG:
            writer.line("Its keeper does not respond.")
            writer.line("Stopping the guest ends it by force, with all its sessions.", "muted")
            return PageContent(writer.text, (stop,))
        case Contact.CONNECTING:
            writer.line("Connecting …", "muted")
            return PageContent(writer.text)
    if guest.state is GuestState.PAUSED:
        writer.line("The guest is paused: it uses no processor, and its programs wait.")
        return PageContent(writer.text, (Button(PAUSE, "resume"), stop))
    writer.line("It has no sessions.", "muted")
    return PageContent(writer.text, (Button(SHELL, "new shell"), Button(AGENT, "new agent"), stop))
