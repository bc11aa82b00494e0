"""The main screen: it owns the model, shows it in widgets, and carries out actions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from textual import on
from textual.app import ComposeResult
from textual.fuzzy import Matcher
from textual.message import Message
from textual.screen import Screen
from textual.theme import Theme
from textual.timer import Timer
from textual.widgets import Input

from ccvm_tui.config import Settings
from ccvm_tui.errors import UserError
from ccvm_tui.guest import SessionKind
from ccvm_tui.protocol import Happened
from ccvm_tui.text import plain
from ccvm_tui.tui.actions import guests, sessions, table
from ccvm_tui.tui.actions.clipboard import Clipboard, GuestClipboard
from ccvm_tui.tui.actions.starter import Starter
from ccvm_tui.tui.actions.table import ACTIONS, Action
from ccvm_tui.tui.dialogs.add_project import AddProject
from ccvm_tui.tui.dialogs.confirm import Confirm, ConfirmOrReview, UnexpectedConfirm
from ccvm_tui.tui.dialogs.help import Help
from ccvm_tui.tui.dialogs.palette import Command, Palette, StartProject, UseTheme, commands
from ccvm_tui.tui.dialogs.settings import ProjectSettings
from ccvm_tui.tui.dialogs.switcher import Candidate, Switcher, candidates
from ccvm_tui.tui.model import attention
from ccvm_tui.tui.model.guests import Guest
from ccvm_tui.tui.model.model import Model
from ccvm_tui.tui.model.selection import Subject
from ccvm_tui.tui.model.sessions import SessionKey
from ccvm_tui.tui.model.text_selection import TextSelection
from ccvm_tui.tui.model.tree_rows import Filter, guest_row_id, project_row_id
from ccvm_tui.tui.screens.announce import announce
from ccvm_tui.tui.screens.attempts import Attempts
from ccvm_tui.tui.screens.bridges import Bridges
from ccvm_tui.tui.screens.guest_dialogs import GuestDialogs
from ccvm_tui.tui.screens.questions import Questions
from ccvm_tui.tui.screens.zoom import zoom
from ccvm_tui.tui.terminal_io.app import host_of, terminal_app
from ccvm_tui.tui.widgets.bars import FooterBar, HeaderBar
from ccvm_tui.tui.widgets.body import Body
from ccvm_tui.tui.widgets.controls import ActionRequested, run_in_background, show_error, start
from ccvm_tui.tui.widgets.details import Details
from ccvm_tui.tui.widgets.main_area import MainArea
from ccvm_tui.tui.widgets.terminal import Terminal
from ccvm_tui.tui.widgets.tree import TreeView
from ccvm_tui.tui.widgets.which_key import WhichKey

PREVIEW_DELAY = 0.04
"""Seconds that the tree's cursor must stay on a row until the row's session or page is shown."""


class MainScreen(Screen[None]):
    """The screen with tree, main area and details.

    ``configured`` projects are listed whether they run or not, and so is ``here``, on which the tree's cursor begins.
    """

    @dataclass
    class ThemeChosen(Message):
        """The user has chosen a theme."""

        name: str

    def __init__(self, settings: Settings, starter: Starter, configured: Sequence[str], here: str = "") -> None:
        super().__init__()
        self.settings = settings
        self.model = Model(configured, here, self.refresh_all, self._guest_event)
        self.header = HeaderBar(id="header")
        self.tree_view = TreeView(self.model.tree, id="tree")
        self.main_area = MainArea(self.model, id="main-area")
        self.details = Details(id="details")
        self.body = Body(self.tree_view, self.main_area, self.details, id="body")
        self.which_key = WhichKey(settings.leader, settings.keys, id="which-key")
        self.footer = FooterBar(id="footer")
        self._launcher = guests.SessionLauncher(
            self.model, starter, self.main_area.terminal_state, self.refresh_all, self._show_guest, self.open_session
        )
        self._clipboard = Clipboard(
            lambda text: host_of(self).write(text), lambda text: terminal_app(self).set_clipboard(text)
        )
        self._guest_clipboard = GuestClipboard(
            lambda guest: self.model.settings_of(guest, settings).osc52,
            self._ask_unexpected,
            self._clipboard,
            self._notify_briefly,
        )
        self._bridges = Bridges(self.app, self.model.fleet, self._subject, self._notify_briefly, self._clipboard.copy)
        self._guest_dialogs = GuestDialogs(self.app, self.model.fleet, self._subject, self._notify_briefly)
        self._attempts = Attempts(
            self.app, self.model.fleet, self._subject, self.start_guest, self._open_guest, self._notify_briefly
        )
        self._questions = Questions(self.app)
        self._methods = {action.name: self._method_of(action) for action in ACTIONS}
        self._composed, self._host_focused = False, True
        self._host_title = ""
        self._preview_timer: Timer | None = None

    def compose(self) -> ComposeResult:
        """Yield the parts from top to bottom."""
        yield self.header
        yield self.body
        yield self.which_key
        yield self.footer

    def on_mount(self) -> None:
        """Start watching the guests."""
        self._composed = True
        run_in_background(self, self.model.fleet.run, "fleet", group="fleet")
        self.tree_view.focus()
        self.app.theme_changed_signal.subscribe(self, self._theme_changed)
        self.refresh_all()

    # --- showing the model ---------------------------------------------------------------------------------

    def refresh_all(self) -> None:
        """Update the model and show it, unless the app is starting or quitting."""
        if not self._composed or not self.app.is_running:
            return
        changes = self.model.update()
        self._refresh_around()
        self.main_area.update()
        self._refresh_details()
        for change in changes:
            self._announce(change)
        self._mark_seen()
        self._questions.update(self.model.fleet.guests.values())

    @on(MainArea.Changed)
    @on(Terminal.CopyModeToggled)
    def _refresh_around(self) -> None:
        """Show the model in the parts around the main area."""
        self._refresh_tree()
        self._refresh_header()
        self._refresh_footer()

    @on(TreeView.Folded)
    @on(Input.Changed, "#filter")
    def _refresh_tree(self) -> None:
        needle = self.body.filter.value
        rows = self.model.rows(Filter(needle, Matcher(needle).match) if needle else None)
        self.tree_view.update_rows(rows, str(self.model.selection.current or ""))

    def _refresh_header(self) -> None:
        self.header.show_totals(self.model.totals())
        title = self.model.title()
        if title != self._host_title:
            self._host_title = title
            host_of(self).write(f"\x1b]2;{title}\x1b\\")

    def _refresh_footer(self) -> None:
        subject = self._subject()
        hints = self.main_area.key_hints(self.settings.leader, self.settings.keys, subject)
        self.footer.show_keys(table.tree_hints(subject) if hints is None else hints)

    def _refresh_details(self) -> None:
        if self.body.arrange_details(in_session=self.main_area.focused_terminal is not None):
            current = self.model.selection.current
            self.details.show(self._subject().guest, self.model.sessions.get(current) if current is not None else None)

    @on(TreeView.Animated)
    def _refresh_boot(self) -> None:
        self.main_area.update_page()

    def _theme_changed(self, _: Theme) -> None:
        self.details.theme_changed()
        self.main_area.theme_changed()
        self.refresh_all()

    # --- events of guests and of the host terminal ---------------------------------------------------------

    def _guest_event(self, guest: str, event: Happened) -> None:
        if event.kind == "clipboard":
            key = SessionKey(guest, event.session)
            work = self._guest_clipboard.offer(key, self.model.sessions.get(key), event.data)
            if work is not None:
                start(self, work, f"clipboard of {key}")
        elif event.kind == "link":
            self._bridges.offered(guest, event, table.shown_key(table.PAGE.tree_key))
        elif event.kind in ("warning", "guard"):
            self.notify(plain(f"{guest}: {event.text}", 200), severity="warning", markup=False)

    def _announce(self, change: attention.Change) -> None:
        """Notify the user of a session that needs them, unless they are looking at it."""
        if change.key != self.main_area.focused_session or not self._host_focused:
            announce(terminal_app(self), change, self.model, self.settings)

    def _mark_seen(self) -> None:
        """Report to the keeper that the user has seen why the focused session needs them."""
        key = self.main_area.focused_session
        info = self.model.sessions.get(key) if key is not None else None
        if key is not None and info is not None and attention.needs_user(info) and self._host_focused:
            start(self, partial(sessions.mark_seen, self.model.fleet, key), f"seen {key}")

    def host_focus(self, gained: bool) -> None:
        """Handle that the host terminal has gained or lost the focus."""
        self._host_focused = gained
        if (terminal := self.main_area.focused_terminal) is not None:
            terminal.host_focus(gained)
        self._mark_seen()

    # --- messages of widgets -------------------------------------------------------------------------------

    @on(ActionRequested)
    def _action_requested(self, event: ActionRequested) -> None:
        self.which_key.close()
        self.perform(event.action)

    @on(TreeView.Highlighted)
    def _row_highlighted(self) -> None:
        if self._preview_timer is not None:
            self._preview_timer.stop()
        self._preview_timer = self.set_timer(PREVIEW_DELAY, self._preview_row)
        self._refresh_footer()

    def _preview_row(self) -> None:
        self.main_area.preview_row()
        self._refresh_details()

    @on(MainArea.FocusLost)
    def _focus_tree(self) -> None:
        self.tree_view.focus()

    @on(Terminal.Copied)
    def _text_copied(self, event: Terminal.Copied) -> None:
        start(self, partial(self._copy_selection, event.terminal, event.selection), "copy")

    def on_resize(self) -> None:
        """Adapt sidebar and details to the new width."""
        if self._composed:
            self.body.arrange_sidebar()
            self._refresh_details()

    def on_descendant_focus(self) -> None:
        """Show what depends on the focus. A session that has got it by a click becomes the current one."""
        key = self.main_area.focused_session
        if key is not None and key in self.model.sessions and self.model.pending.focus is None:
            self.model.selection.make_current(key)
        self._refresh_around()
        self._refresh_details()
        self._mark_seen()

    async def _ask_about(self, guest: Guest, question: str, lines: Sequence[str], yes: str) -> bool:
        """Ask whether a guest, or its last session, may end. Its edits can be reviewed first, which is no consent."""
        dialog = ConfirmOrReview if guest.info is not None and guest.info.read_only else Confirm
        answer = await self.app.push_screen_wait(dialog(question, lines, yes))
        if answer is None and dialog is ConfirmOrReview:
            self._guest_dialogs.review(guest)
        return answer is True

    async def _ask_unexpected(self, question: str, lines: Sequence[str], yes: str) -> bool:
        return await self.app.push_screen_wait(UnexpectedConfirm(question, lines, yes, "refuse")) is True

    def _notify_briefly(self, text: str) -> None:
        self.notify(text, timeout=2, markup=False)

    async def _copy_selection(self, terminal: Terminal, selection: TextSelection) -> None:
        key, lines, ended = terminal.key, terminal.available_lines(), terminal.ended is not None
        if done := await sessions.copy_selection(self.model.fleet, key, selection, lines, self._clipboard, ended=ended):
            self._notify_briefly(done)

    # --- carrying out actions ------------------------------------------------------------------------------

    def _method_of(self, action: Action) -> Callable[[], None]:
        """Return the method of the screen or one of its parts that carries out an action."""
        name = f"action_{action.name}"
        owners = (self, self._bridges, self._guest_dialogs, self._attempts, self.body, self.main_area)
        owner = next(owner for owner in owners if hasattr(owner, name))
        method: Callable[[], None] = getattr(owner, name)
        return method

    def perform(self, action: Action) -> None:
        """Carry out an action."""
        self._methods[action.name]()

    def open_session(self, key: SessionKey) -> None:
        """Show a session, and move the focus and the tree's cursor to it."""
        self.main_area.open_session(key)
        self.tree_view.move_to(self.model.tree.id_of(key))

    def open_numbered(self, number: int) -> None:
        """Open the session with a number in the tree, if there is one."""
        self._open_if_any(self.model.tree.numbered(number))

    def _open_if_any(self, key: SessionKey | None, otherwise: str = "") -> None:
        if key is not None:
            self.open_session(key)
        elif otherwise:
            self._notify_briefly(otherwise)

    def _subject(self) -> Subject:
        return self.model.subject(self.main_area.focused_session)

    def _show_guest(self, name: str) -> None:
        self.tree_view.move_to(guest_row_id(self.model.fleet.project_of(name), name))
        self._preview_row()

    def start_guest(self, project: str, kind: SessionKind, attempt: str = "") -> bool:
        """Start the guest of a project or its attempt. Return False if one of the project is being started already."""
        if (cancelled := self.model.starts.begin(project)) is not None:
            start(self, partial(self._launcher.start_guest, project, cancelled, kind, attempt), f"start {project}")
        return cancelled is not None

    def _open_guest(self, guest: Guest) -> None:
        """Open the first session of a guest, or a new one."""
        key = next((key for key in self.model.sessions if key.guest == guest.name), None)
        if key is not None:
            self.open_session(key)
        else:
            self._start_session(guest, guest.project, guests.default_kind(guest.project))

    def _start_session(self, guest: Guest | None, project: str, kind: SessionKind) -> None:
        """Start a session in a guest, or start the guest of a project with it."""
        if guest is not None:
            start(self, partial(self._launcher.new_session, guest, kind), f"new {kind}")
        elif project:
            self.start_guest(project, kind)

    def _run_command(self, command: Command | None) -> None:
        match command.does if command is not None else None:
            case Action() as action:
                self.perform(action)
            case SessionKey() as key:
                self.open_session(key)
            case StartProject(path=path):
                self.tree_view.move_to(project_row_id(path))
                self.start_guest(path, guests.default_kind(path))
            case UseTheme(name=name):
                self.post_message(self.ThemeChosen(name))

    def _open_candidate(self, candidate: Candidate | None) -> None:
        self._open_if_any(candidate.key if candidate is not None and candidate.key in self.model.sessions else None)

    def _add_project(self, path: str | None) -> None:
        if path is None:
            return
        try:
            guests.add_project(self.model, path)
        except (UserError, OSError) as error:
            show_error(self, error)
        self.refresh_all()
        self.tree_view.move_to(project_row_id(path))

    # --- the actions of the table, except those of the other parts -------------------------------------------

    def action_open(self) -> None:
        """Open the row under the cursor."""
        row = self.model.tree.row
        key, guest = self.model.session_of(row), self.model.guest_of(row)
        if key is not None:
            self.open_session(key)
        elif guest is None:
            self.action_run()
        elif guest.info is not None:
            self.action_shell()

    def action_detach(self) -> None:
        """Return to the tree."""
        self.main_area.action_leave_copy_mode()
        self.body.hide_sidebar(False)
        self.model.pending.leave()
        self.set_focus(self.tree_view)

    def action_focus_session(self) -> None:
        """Move the focus to the session that is shown."""
        self._open_if_any(self.model.selection.in_view())

    def action_switch(self) -> None:
        """Let the user find a session."""
        self.app.push_screen(Switcher(candidates(self.model)), self._open_candidate)

    def action_next(self) -> None:
        """Open the next session."""
        self._open_if_any(self.model.neighbour(1))

    def action_previous(self) -> None:
        """Open the previous session of the tree."""
        self._open_if_any(self.model.neighbour(-1))

    def action_last(self) -> None:
        """Open the session that was open before."""
        previous = self.model.selection.previous
        self._open_if_any(previous if previous in self.model.sessions else None)

    def action_attention(self) -> None:
        """Open the next session that needs the user."""
        self._open_if_any(self.model.next_waiting(self.main_area.focused_session), "No session is waiting for you")

    def action_run(self) -> None:
        """Start the guest of the selected project."""
        subject = self._subject()
        if subject.guest is not None:
            self._notify_briefly("It is already running; c opens a shell, g an agent")
        elif subject.project:
            self.start_guest(subject.project, guests.default_kind(subject.project))

    def action_shell(self) -> None:
        """Start a shell."""
        subject = self._subject()
        self._start_session(subject.guest, subject.project, SessionKind.SHELL)

    def action_agent(self) -> None:
        """Start an agent."""
        subject = self._subject()
        self._start_session(subject.guest, subject.project, SessionKind.AGENT)

    def action_end(self) -> None:
        """End the selected session, or close its last screen."""
        if self.main_area.ended_pane is not None:
            self.main_area.action_close_ended()
        elif (key := self._subject().session) is not None:
            ask = partial(self._ask_about, self.model.fleet.guests[key.guest])
            start(self, partial(guests.end_session, self.model, key, ask), f"end {key}")

    def action_stop(self) -> None:
        """Stop the selected guest, or cancel its start."""
        subject = self._subject()
        if subject.guest is not None:
            ask = partial(self._ask_about, subject.guest)
            work = partial(guests.stop_guest, self.model, subject.guest, ask, self._notify_briefly)
            start(self, work, f"stop {subject.guest.name}")
        else:
            self.model.starts.cancel(subject.project)
            self.refresh_all()

    def action_pause(self) -> None:
        """Pause or resume the selected guest."""
        if (guest := self._subject().guest) is not None:
            start(self, partial(guests.pause_or_resume, self.model.fleet, guest), f"pause {guest.name}")

    def action_zoom(self) -> None:
        """Give the host terminal to the selected session until it detaches."""
        key = self._subject().session or self.model.selection.current
        if key is not None and self.main_area.ended_pane is None:
            work = partial(zoom, terminal_app(self), self.model.fleet, key, self.open_session)
            start(self, work, "zoom", exclusive=True)

    def action_settings(self) -> None:
        """Show the settings of the selected project."""
        if (row := self.model.tree.row) is not None:
            self.app.push_screen(ProjectSettings(row.project))

    def action_mute(self) -> None:
        """Mute or unmute the selected session or project."""
        if (row := self.model.tree.row) is not None:
            start(self, partial(guests.mute_or_unmute, self.model, row, self.refresh_all), "mute")

    def action_add(self) -> None:
        """Let the user add a project."""
        self.app.push_screen(AddProject(), self._add_project)

    def action_forget(self) -> None:
        """Remove the selected project from the list."""
        if (row := self.model.tree.row) is not None and (problem := guests.forget_project(self.model, row.project)):
            self._notify_briefly(problem)
        self.refresh_all()

    def action_sidebar(self) -> None:
        """Hide or show the sidebar."""
        self.body.hide_sidebar(not self.body.sidebar_hidden)
        if self.body.sidebar_hidden and self.focused is self.tree_view:
            self.action_focus_session()

    def action_details(self) -> None:
        """Hide or show the details."""
        self.body.want_details(not self.body.details_shown)
        self._refresh_details()

    def action_palette(self) -> None:
        """Let the user find a command."""
        found = commands(self.model, self.settings.leader, self.settings.keys, self.app.available_themes)
        self.app.push_screen(Palette(list(found)), self._run_command)

    def action_help(self) -> None:
        """Show the help."""
        self.app.push_screen(Help(self.settings.leader, self.settings.keys))

    def action_quit(self) -> None:
        """Quit the dashboard."""
        self.app.exit(0)

    def action_leader_keys(self) -> None:
        """Show the keys after the leader, and expect one of them."""
        self.which_key.open()

    def action_run_again(self) -> None:
        """Start a session of the same kind as the focused one, which has ended."""
        pane = self.main_area.ended_pane
        if pane is None or pane.last_screen is None or (kind := pane.last_screen.repeat) is None:
            return
        guest, project = self.model.fleet.guests.get(pane.key.guest), self.model.fleet.project_of(pane.key.guest)
        self.main_area.close_session(pane.key)
        self._start_session(guest, project, kind)
