"""The main screen: sidebar, stage, details, and the two lines around them.

It turns what widgets ask for into deeds (`GuestActs`, `Views`) and what the fleet tells into what is shown.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual import events, on, work
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.screen import Screen
from textual.theme import Theme
from textual.timer import Timer
from textual.widgets import Input

from ccvm_tui.config import Settings
from ccvm_tui.guest import Activity, SessionInfo
from ccvm_tui.project.history import History, KnownProject
from ccvm_tui.protocol import Happened
from ccvm_tui.terminal.keys import Stroke
from ccvm_tui.tui import attention, workers
from ccvm_tui.tui.attention import SessionKey
from ccvm_tui.tui.bindings import LeaderKeys, leader_bindings
from ccvm_tui.tui.fleet import Contact, Fleet, Guest
from ccvm_tui.tui.projects import ProjectEntry, gather
from ccvm_tui.tui.screens.acts import GuestActs
from ccvm_tui.tui.screens.deeds import Deeds
from ccvm_tui.tui.screens.keyboard import Keyboard
from ccvm_tui.tui.screens.lines_around import LinesAround
from ccvm_tui.tui.screens.pages import Pages
from ccvm_tui.tui.screens.session_events import SessionEvents
from ccvm_tui.tui.starting import Starter
from ccvm_tui.tui.tree_rows import RowKind, TreeRow, project_row_id, rows
from ccvm_tui.tui.widgets.bars import Bar, Divider, FooterBar, HeaderBar
from ccvm_tui.tui.widgets.details import Details
from ccvm_tui.tui.widgets.line import Line
from ccvm_tui.tui.widgets.panes import Pane
from ccvm_tui.tui.widgets.stage import Stage
from ccvm_tui.tui.widgets.terminal import Terminal
from ccvm_tui.tui.widgets.tree import FleetTree
from ccvm_tui.tui.widgets.which_key import WhichKey

if TYPE_CHECKING:
    from ccvm_tui.tui.app import Dashboard

LOAD_EVERY = 3.0

SIDEBAR_MIN, SIDEBAR_MAX = 18, 70
SIDEBAR, SIDEBAR_SMALL, SMALL = 32, 26, 100
"""Columns of the sidebar unless the user wants others, and the columns below which it has fewer."""

WIDE = 150
"""Columns from which the details have room of their own."""

NARROW = 110
"""Columns below which they take the place of the session."""


class FilterLine(Line):
    """Typing narrows the tree; Escape takes the filter off."""

    @dataclass
    class Left(Message):
        pass

    def key_escape(self, event: events.Key) -> None:
        event.stop()
        self.post_message(self.Left())


class MainScreen(SessionEvents, LinesAround, Keyboard, Screen[None]):
    def __init__(self, settings: Settings, starter: Starter, configured: tuple[str, ...], here: str = "") -> None:
        super().__init__()
        self.settings = settings
        self.starter = starter
        self.configured = configured
        self.history = History()
        self.fleet = Fleet(self._fleet_changed, self._heard)
        self.leader = LeaderKeys(settings.leader, leader_bindings(settings.keys))
        self.current: SessionKey | None = None
        self.before: SessionKey | None = None
        self.added = {here} if here else set[str]()
        self.projects: list[ProjectEntry] = []
        self.infos: dict[SessionKey, SessionInfo] = {}
        self.focused_outside = False
        self.focus_wanted: SessionKey | None = None
        self.holding: Timer | None = None
        self.held: list[Stroke | bytes] = []
        self.load_timer: Timer | None = None
        self.popup: Timer | None = None
        self._preview: Timer | None = None
        self._boot_timer: Timer | None = None
        self._composed = False
        self._sidebar_wanted = 0
        self._seen_at = 0
        self._seen_before: tuple[KnownProject, ...] = ()
        self._details_wanted: bool | None = None
        self.fleet_tree = FleetTree(id="tree")
        self.fleet_tree.start = project_row_id(here)
        self.stage = Stage(id="stage")
        self.details = Details(id="details")
        self.acts = GuestActs(self)
        self.pages = Pages(self)
        self.deeds = Deeds(self)

    @property
    def dashboard(self) -> Dashboard:
        from ccvm_tui.tui.app import Dashboard

        assert isinstance(self.app, Dashboard)
        return self.app

    def compose(self) -> ComposeResult:
        yield HeaderBar(id="header")
        with Horizontal(id="body"):
            with Vertical(id="sidebar"):
                yield FilterLine(placeholder="filter", id="filter")
                yield self.fleet_tree
            yield Divider(id="divider")
            yield self.stage
            yield self.details
        yield WhichKey(id="which-key")
        yield FooterBar(id="footer")

    def on_mount(self) -> None:
        self._composed = True
        workers.start(self, self.fleet.run, "fleet", "fleet")
        self.load_timer = self.set_interval(LOAD_EVERY, self.read_load)
        self.read_load()
        self.fleet_tree.focus()
        self.app.theme_changed_signal.subscribe(self, self._theme_changed)
        self.refresh_all()

    def _theme_changed(self, _: Theme) -> None:
        """What was made with the old theme's colours is made again."""
        self.details.forget()
        self.stage.page.forget()
        for pane in self.stage.panes():
            pane.terminal.new_theme()
        self.refresh_all()

    # --- what the fleet tells ------------------------------------------------------------------------------

    @property
    def composed(self) -> bool:
        """Whether all that the screen consists of is there: not before, and no more once the app shuts down."""
        return self._composed and self.app.is_running

    def _fleet_changed(self) -> None:
        if self.composed:
            self.refresh_all()

    def refresh_all(self) -> None:
        """Show what is known now."""
        if not self.composed:
            return
        before = self.infos
        self.infos = dict(self.fleet.sessions())
        self.projects = gather(
            {*self.configured, *self.added}, self._history(), self.fleet.guests.values(), self.fleet.ends.values()
        )
        self.refresh_tree()
        self.refresh_titles()
        self._drop_ended()
        row = self.fleet_tree.row
        if self.stage.showing_page:
            self.pages.show(row)
        self.refresh_header()
        self.refresh_footer()
        self._refresh_details()
        self._boot_motion()
        for change in attention.changes(before, self.infos):
            self._wanted(change)
        self._seen()

    def _history(self) -> tuple[KnownProject, ...]:
        """The projects used before; read again only when the file changed."""
        try:
            changed = self.history.file.stat().st_mtime_ns
        except OSError:
            return ()
        if changed != self._seen_at:
            self._seen_at, self._seen_before = changed, self.history.list()
        return self._seen_before

    def refresh_tree(self) -> None:
        needle = self.query_one("#filter", Input).value
        shown = rows(self.projects, self.fleet_tree.folded, needle)
        self.fleet_tree.show(shown, str(self.current or ""))

    def _drop_ended(self) -> None:
        """Sessions that ended leave the stage by themselves, unless their last words must be read first."""
        gone = [key for key in self.stage.keys if key not in self.infos]
        for key in gone:
            guest = self.fleet.guests.get(key.guest)
            if guest is None or guest.contact is not Contact.CONNECTING:
                self.deeds.endings.gone(key)

    def _boot_motion(self) -> None:
        """Something moves only while something boots."""
        if self.fleet_tree.booting and self._boot_timer is None:
            self._boot_timer = self.set_interval(0.25, self._boot_turn)
        elif not self.fleet_tree.booting and self._boot_timer is not None:
            self._boot_timer.stop()
            self._boot_timer = None

    def _boot_turn(self) -> None:
        self.fleet_tree.turn()
        if self.stage.showing_page:
            self.pages.show(self.fleet_tree.row)

    def _heard(self, guest: str, event: Happened) -> None:
        if self.composed:
            self.deeds.heard(guest, event)

    def _wanted(self, change: attention.Change) -> None:
        info = self.infos[change.key]
        if self.is_muted(change.key):
            return
        if change.key == self.current and self.focused_terminal is not None and not self.focused_outside:
            return
        self.deeds.notify_outside(change.key, info, change.text)

    def _seen(self) -> None:
        """What the user looks at needs no mark."""
        key = self.current
        if key is None or self.focused_outside or self.focused_terminal is None:
            return
        info = self.infos.get(key)
        if info is not None and attention.wants(info) and info.activity is not Activity.WORKING:
            self.acts.seen(key)

    def guest_project(self, name: str) -> str:
        guest = self.fleet.guests.get(name)
        return guest.project if guest is not None else self.fleet.projects.get(name, "")

    # --- parts that come and go ----------------------------------------------------------------------------

    def _refresh_details(self) -> None:
        wide = self.size.width >= WIDE
        wanted = wide if self._details_wanted is None else self._details_wanted
        narrow = self.size.width < NARROW
        wanted = wanted and not (narrow and self.focused_terminal is not None)  # a session in use needs the room
        whole = wanted and narrow
        self.details.set_class(wanted, "-shown")
        self.details.set_class(whole, "-whole")
        self.stage.set_class(whole, "-away")
        if wanted:
            guest = self.selected_guest()
            self.details.show(guest, self.infos.get(self.current) if self.current else None)

    def toggle_details(self) -> None:
        self._details_wanted = not self.details.has_class("-shown")
        self._refresh_details()

    def selected_guest(self) -> Guest | None:
        """The guest that the tree's cursor or the current session is about."""
        row = self.fleet_tree.row
        if self.focused_terminal is not None and self.current is not None:
            return self.fleet.guests.get(self.current.guest)
        if row is None:
            return None
        if row.guest:
            return self.fleet.guests.get(row.guest)
        return next((g for g in self.fleet.guests.values() if g.project == row.project), None)

    # --- the focus ----------------------------------------------------------------------------------------

    @property
    def focused_terminal(self) -> Terminal | None:
        return self.focused if isinstance(self.focused, Terminal) else None

    def outer_focus(self, gained: bool) -> None:
        self.focused_outside = not gained
        if (terminal := self.focused_terminal) is not None:
            terminal.outer_focus(gained)
        if gained:
            self._seen()

    def outer_changed(self) -> None:
        """The outer terminal has other colours, or cells of another size."""
        for terminal in self.query(Terminal):
            terminal.outer_changed()

    # --- what widgets ask ----------------------------------------------------------------------------------

    @on(FleetTree.Highlighted)
    def _highlighted(self, event: FleetTree.Highlighted) -> None:
        if self._preview is not None:
            self._preview.stop()
        self._preview = self.set_timer(0.04, self._show_row)
        self.refresh_footer()

    def _show_row(self) -> None:
        self.deeds.preview(self.fleet_tree.row)
        self._refresh_details()

    @on(FleetTree.Opened)
    def _opened(self, event: FleetTree.Opened) -> None:
        self.deeds.open_row(event.row)

    @on(FleetTree.Asked)
    def _tree_asked(self, event: FleetTree.Asked) -> None:
        self.deeds.do(event.action)

    @on(Pane.Asked)
    def _pane_asked(self, event: Pane.Asked) -> None:
        self.deeds.do(event.action)

    @on(Bar.Clicked)
    def _bar_clicked(self, event: Bar.Clicked) -> None:
        if event.action == "popup":
            self.show_popup()
        else:
            self.deeds.do(event.action)

    @on(WhichKey.Chosen)
    def _chosen(self, event: WhichKey.Chosen) -> None:
        self.leader.armed = False
        self.close_popup()
        self.deeds.do(event.action)

    @on(Divider.Dragged)
    def _dragged(self, event: Divider.Dragged) -> None:
        self.set_sidebar(event.x)

    def set_sidebar(self, width: int) -> None:
        """The user wants the sidebar that wide."""
        self._sidebar_wanted = width
        self._fit_sidebar()

    def _fit_sidebar(self) -> None:
        wanted = self._sidebar_wanted or (SIDEBAR_SMALL if self.size.width < SMALL else SIDEBAR)
        limit = min(SIDEBAR_MAX, self.size.width // 2)
        self.query_one("#sidebar").styles.width = max(SIDEBAR_MIN, min(wanted, limit))

    def on_resize(self) -> None:
        self._fit_sidebar()
        self._refresh_details()

    def on_descendant_focus(self) -> None:
        self.refresh_footer()
        self._refresh_details()
        self._seen()

    @on(Input.Changed, "#filter")
    def _filtered(self) -> None:
        self.refresh_tree()

    @on(Input.Submitted, "#filter")
    def _filter_done(self) -> None:
        self.fleet_tree.focus()

    @on(FilterLine.Left)
    def _filter_off(self) -> None:
        self.deeds.questions.close_filter()

    def show_sessions(self, keys: list[SessionKey], focus: SessionKey | None = None) -> None:
        """Put these on the stage, and the focus into one of them. The last wish counts; a focus wished for stays."""
        self.stage.want(keys)
        if focus is not None or self.focus_wanted not in keys:
            self.focus_wanted = focus
        self._settle_stage()

    @work(group="shown")
    async def _settle_stage(self) -> None:
        await self.stage.settle()
        self.refresh_titles()
        focus = self.focus_wanted
        terminal = self.stage.terminal(focus) if focus is not None else None
        if terminal is not None or focus not in self.stage.keys:  # else another turn is about to bring it
            self.focus_wanted = None
        if terminal is not None:
            self.set_focus(terminal, scroll_visible=False)
            self.deliver_held(terminal)  # typed on the way there
        elif self.focus_wanted is None and self.holding is None:
            self.held.clear()
        self.refresh_tree()
        self.refresh_header()
        self.refresh_footer()

    def row_of(self, key: SessionKey) -> TreeRow | None:
        return next((row for row in self.fleet_tree.rows if row.kind is RowKind.SESSION and row.session == key), None)

    def now(self) -> float:
        return time.time()
