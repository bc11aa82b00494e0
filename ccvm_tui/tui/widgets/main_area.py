"""The main area: up to four sessions side by side, or a page about what is selected."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from textual import on
from textual.app import ComposeResult
from textual.containers import Container
from textual.css.query import NoMatches
from textual.message import Message
from textual.timer import Timer

from ccvm_tui.config import Keys
from ccvm_tui.guest import TermColours, TermSize
from ccvm_tui.text import plain
from ccvm_tui.tui.actions import sessions, table
from ccvm_tui.tui.actions.table import KeyHint
from ccvm_tui.tui.model.guests import Contact
from ccvm_tui.tui.model.model import Model
from ccvm_tui.tui.model.pending_keys import Typed
from ccvm_tui.tui.model.scrollback import Intent
from ccvm_tui.tui.model.selection import Subject
from ccvm_tui.tui.model.sessions import SessionKey, closing_notice, last_screen
from ccvm_tui.tui.terminal_io.app import host_of, inks_of
from ccvm_tui.tui.terminal_io.style_book import safe_link
from ccvm_tui.tui.widgets.controls import run_in_background, start
from ccvm_tui.tui.widgets.page import Page, page_content
from ccvm_tui.tui.widgets.session_pane import SessionPane
from ccvm_tui.tui.widgets.terminal import Terminal

THREE_COLUMNS = 180
"""The width in cells from which three sessions are shown side by side, so that each has 60 columns."""

LAYOUT_TIMEOUT = 0.2
"""Maximum time in seconds for which keys are held back while the layout follows a new size of the host terminal."""

END_TIMEOUT = 12.0
"""Seconds within which a session's stream must report its end, once the session is no longer listed.

The keeper waits for the last screen for up to 10 seconds.
"""


class Tiles(Container):
    """The sessions, in a grid."""

    DEFAULT_CSS = """
    Tiles { layout: grid; grid-size: 1 1; width: 1fr; height: 1fr; }
    Tiles.-two { grid-size: 2 1; grid-gutter: 0 1; background: $line; }
    Tiles.-three { grid-size: 3 1; grid-gutter: 0 1; background: $line; }
    Tiles.-four { grid-size: 2 2; grid-gutter: 0 1; background: $line; }
    """

    def arrange_for(self, count: int, width: int) -> None:
        """Arrange the grid for a number of sessions in a width."""
        shape = {2: "-two", 3: "-three" if width >= THREE_COLUMNS else "-four", 4: "-four"}.get(count, "")
        for name in ("-two", "-three", "-four"):
            self.set_class(name == shape, name)


class MainArea(Container):
    """The sessions that ``model.selection`` contains, or the page about the tree's row.

    Keys that are typed while the focus or the layout is changing are held back (see ``PendingKeys``).
    """

    DEFAULT_CSS = """
    MainArea { width: 1fr; height: 1fr; }
    MainArea > Page { display: none; }
    MainArea.-page > Tiles { display: none; }
    MainArea.-page > Page { display: block; }
    """

    @dataclass
    class Changed(Message):
        """Other sessions are shown, one of them has another state, or the focus has moved to one of them."""

    @dataclass
    class FocusLost(Message):
        """The focused session was closed, and no other session is shown."""

    @dataclass
    class TourRequested(Message):
        """The user wants the welcome tour."""

    def __init__(self, model: Model, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.page = Page()
        self._model = model
        self._tiles = Tiles()
        self._settling = asyncio.Lock()
        self._ending: set[SessionKey] = set()
        self._layout_timer: Timer | None = None

    def compose(self) -> ComposeResult:
        """Yield the sessions' grid and the page."""
        yield self._tiles
        yield self.page

    def on_mount(self) -> None:
        """Begin with the page."""
        self.add_class("-page")

    def on_resize(self) -> None:
        """Arrange the sessions in the new width."""
        self._tiles.arrange_for(len(self._model.selection.shown), self.size.width)

    def theme_changed(self) -> None:
        """Draw everything in the colours of the new theme."""
        self.page.theme_changed()
        for pane in self.panes():
            pane.terminal.theme_changed()

    def host_changed(self) -> None:
        """Send the colours and the cell size of the host terminal, which have changed, to the sessions."""
        for pane in self.panes():
            pane.terminal.host_changed()

    # --- panes ---------------------------------------------------------------------------------------------

    def panes(self) -> list[SessionPane]:
        """Return the panes of sessions, in the order of the tiles."""
        return list(self._tiles.query(SessionPane))

    def pane(self, key: SessionKey) -> SessionPane | None:
        """Return the pane of a session, or None if there is none (yet)."""
        return next((pane for pane in self.panes() if pane.key == key), None)

    @property
    def focused_terminal(self) -> Terminal | None:
        """The terminal that has the focus, or None."""
        focused = self.screen.focused if self.is_attached else None
        return focused if isinstance(focused, Terminal) else None

    @property
    def focused_session(self) -> SessionKey | None:
        """The session whose terminal has the focus, or None."""
        return terminal.key if (terminal := self.focused_terminal) is not None else None

    @property
    def focused_pane(self) -> SessionPane | None:
        """The pane whose terminal has the focus, or None."""
        return self.pane(key) if (key := self.focused_session) is not None else None

    @property
    def ended_pane(self) -> SessionPane | None:
        """The pane that has the focus, if it shows the last screen of a session."""
        pane = self.focused_pane
        return pane if pane is not None and pane.last_screen is not None else None

    def key_hints(self, leader: str, keys: Keys, subject: Subject) -> Sequence[KeyHint] | None:
        """Return the keys that are available in the focused session, or None if no session has the focus."""
        terminal, pane = self.focused_terminal, self.ended_pane
        if terminal is None:
            return None
        if terminal.copy_mode is not None:
            return table.copy_mode_hints(leader, keys, passive=terminal.copy_mode.passive)
        if pane is not None and pane.last_screen is not None:
            hints = table.ended_hints(repeatable=pane.last_screen.repeat is not None)
            return [*hints, table.leader_hint(leader)]
        return table.session_hints(leader, keys, subject)

    def update(self) -> None:
        """Show the present state of the model: titles, the page, and the ends of sessions."""
        model = self._model
        self._update_titles()
        if model.selection.page and self.focused_session is None:
            self.preview_row()  # the row's first session may just have been started
        else:
            self.update_page()
        for key in [key for key in model.selection.shown if key not in model.sessions]:
            guest = model.fleet.guests.get(key.guest)
            if guest is None or guest.contact is not Contact.CONNECTING:
                self._session_ended(key)

    def _update_titles(self) -> None:
        paused = self._model.paused_guests()
        for pane in self.panes():
            try:
                pane.show(self._model.sessions.get(pane.key), paused=pane.key.guest in paused)
            except NoMatches:  # the pane is about to be removed
                continue

    def update_page(self) -> None:
        """Show the present state of the model on the page, if it is shown."""
        if self._model.selection.page:
            self.page.show(page_content(self._model, self._model.tree.row, inks_of(self)))

    def terminal_state(self) -> tuple[TermSize, TermColours]:
        """Return the size and the colors that a new session gets."""
        host = host_of(self)
        size = TermSize(max(20, self.size.width), max(5, self.size.height - 1))
        return size.with_cell(host.cell), host.colours

    # --- showing sessions ----------------------------------------------------------------------------------

    def open_session(self, key: SessionKey) -> None:
        """Show a session, and move the focus to it."""
        self._model.selection.open(key)
        self.show_selection(key)
        if key not in self._model.sessions:
            self._session_ended(key)

    def show_selection(self, focus: SessionKey | None = None) -> None:
        """Show the selected sessions, and move the focus to one of them. A focus that is on its way is kept."""
        selection = self._model.selection
        self._model.pending.expect_focus(focus, selection.shown)
        self.set_class(selection.page, "-page")
        run_in_background(self, self._settle, "panes", group="panes")

    def show_page(self) -> None:
        """Show the page about the tree's row. Sessions remain connected behind it."""
        self._model.selection.page = True
        self.add_class("-page")
        self.update_page()

    def preview_row(self) -> None:
        """Show the session or the page of the tree's row, without moving the focus."""
        model, selection, row, focused = self._model, self._model.selection, self._model.tree.row, self.focused_session
        if focused is not None and focused not in model.sessions:
            return  # the user is reading its last screen
        key = model.session_of(row)
        if key is None or not model.fleet.connected(key.guest):
            self.show_page()
        elif focused is None or key != selection.current:
            before = selection.shown
            selection.preview(key, keep_tiles=focused is None and row is not None and row.session is None)
            self.set_class(selection.page, "-page")
            if selection.shown != before:
                self.show_selection()

    def action_tile(self) -> None:
        """Show one more session, or only one again."""
        selection = self._model.selection
        if not selection.tile(self._model.running_in_tree()):
            self.notify("There is no other session to show", timeout=2, markup=False)
        self.show_selection(selection.in_view() if self.focused_terminal is not None else None)

    def action_close_ended(self) -> None:
        """Close the last screen of the focused session."""
        if (pane := self.ended_pane) is not None:
            self.close_session(pane.key)

    def close_session(self, key: SessionKey) -> None:
        """Stop showing a session. The focus moves to the one beside it."""
        selection, focused = self._model.selection, self.focused_session is not None
        had_focus = focused and selection.current == key
        following = selection.close(key, focused=focused)
        self.show_selection(following)
        if had_focus and following is None:
            self.post_message(self.FocusLost())
        if not selection.shown:
            self.show_page()

    async def _settle(self) -> None:
        await self._create_panes()
        self._update_titles()
        pending = self._model.pending
        pane = self.pane(pending.focus) if pending.focus is not None else None
        if pane is not None:
            if pending.focus_arrived():
                self.screen.set_focus(pane.terminal, scroll_visible=False)
            self._release_keys(pane.terminal)
        elif pending.focus not in self._model.selection.shown:  # else a later call brings it
            pending.focus_cancelled()
        self.post_message(self.Changed())

    async def _create_panes(self) -> None:
        """Create and remove panes, so that there is one for each selected session."""
        async with self._settling:
            wanted = self._model.selection.shown
            existing = {pane.key: pane for pane in self.panes()}
            if list(existing) == wanted:
                return
            with self.app.batch_update():
                for key, pane in existing.items():
                    if key not in wanted:
                        await pane.remove()
                before: SessionPane | None = None
                for key in wanted:
                    wanted_pane = existing.get(key)
                    if wanted_pane is None:
                        wanted_pane = SessionPane(key)
                        if before is not None:
                            await self._tiles.mount(wanted_pane, after=before)
                        else:
                            await self._tiles.mount(wanted_pane, before=0 if self._tiles.children else None)
                    before = wanted_pane
                self._tiles.arrange_for(len(wanted), self.size.width)

    # --- copy mode -----------------------------------------------------------------------------------------

    def action_scrollback(self) -> None:
        """Enter copy mode in the focused session."""
        if (terminal := self.focused_terminal) is not None:
            terminal.enter_copy_mode()

    def action_leave_copy_mode(self) -> None:
        """Leave copy mode in the focused session."""
        if (terminal := self.focused_terminal) is not None:
            terminal.leave_copy_mode()

    def action_tour(self) -> None:
        """Request the welcome tour from the app, because it covers the whole screen."""
        self.app.post_message(self.TourRequested())  # a message that the screen has caused does not bubble beyond it

    def action_search(self) -> None:
        """Search the scrollback of the focused session."""
        self._search()

    def _search(self, *, backwards: bool = False) -> None:
        """Enter copy mode in the focused session, and let the user enter a text to search for."""
        if (pane := self.focused_pane) is not None:
            pane.terminal.enter_copy_mode()
            pane.ask_for_needle(backwards=backwards)

    def action_save_scrollback(self) -> None:
        """Save the scrollback of the focused session to a file."""
        if (terminal := self.focused_terminal) is not None:
            start(self, partial(self._save, terminal), "save the scrollback")

    async def _save(self, terminal: Terminal) -> None:
        path = await sessions.save_scrollback(self._model.fleet, terminal.key, terminal.grid)
        self.notify(f"Saved to {path}", timeout=6, markup=False)

    @on(Terminal.LinkClicked)
    def _link_clicked(self, event: Terminal.LinkClicked) -> None:
        event.stop()
        if address := safe_link(event.address):
            self.notify(f"Opening {plain(address, 150)}", timeout=3, markup=False)
            self.app.open_url(address)

    @on(Terminal.LinesNeeded)
    def _lines_needed(self, event: Terminal.LinesNeeded) -> None:
        async def fetch() -> None:
            terminal = event.terminal
            terminal.add_lines(await sessions.fetch_lines(self._model.fleet, terminal.key, event.first, event.count))

        start(self, fetch, "scrollback")

    @on(Terminal.Requested)
    def _copy_mode_request(self, event: Terminal.Requested) -> None:
        match event.intent:
            case Intent.SAVE:
                self.action_save_scrollback()
            case Intent.SEARCH_FORWARDS | Intent.SEARCH_BACKWARDS:
                self._search(backwards=event.intent is Intent.SEARCH_BACKWARDS)

    @on(SessionPane.Searched)
    def _needle_entered(self, event: SessionPane.Searched) -> None:
        start(self, partial(self._find, event.pane.terminal, event.needle, event.backwards), "search")

    async def _find(self, terminal: Terminal, needle: str, backwards: bool) -> None:
        key = terminal.key
        found = await self._model.fleet.keeper(key.guest).find_text(key.session, needle)
        shown = plain(needle, 40)
        terminal.show_matches(shown, list(found.found), found.total, backwards=backwards)
        if not found.found:
            self.notify(f"“{shown}” was not found", timeout=3, markup=False)

    # --- ends of sessions ----------------------------------------------------------------------------------

    def _session_ended(self, key: SessionKey) -> None:
        pane = self.pane(key)
        if key not in self._ending and (pane is None or pane.last_screen is None):
            self._ending.add(key)
            run_in_background(self, partial(self._review_end, key), f"end of {key}", group="ends")

    async def _review_end(self, key: SessionKey) -> None:
        """Close a session that has ended, unless the user should read its last screen."""
        model = self._model
        try:
            await self._create_panes()
            pane = self.pane(key)
            end = await pane.terminal.wait_for_end(END_TIMEOUT) if pane is not None else None
            if key not in model.selection.shown or key in model.sessions:
                return
            info = model.fleet.remembered.get(key)
            last = None
            if pane is not None and end is not None and info is not None:
                last = last_screen(key, info, end, model.requested_ends)
            if pane is not None and info is not None and last is not None:
                pane.show_last_screen(info, last)
                if key.guest in model.starts.awaited:  # it has ended before it could be opened
                    model.starts.awaited.discard(key.guest)
                    model.selection.open(key)
                    self.show_selection(key)
                self.post_message(self.Changed())
                return
            if end is not None and (notice := closing_notice(key, end, model.requested_ends)):
                self.notify(notice, timeout=5, markup=False)
            self.close_session(key)
        finally:
            self._ending.discard(key)

    # --- keys ----------------------------------------------------------------------------------------------

    def take_input(self, typed: Typed) -> bool:
        """Hold a key or paste back, or send it to the focused session. Return False if no session has the focus."""
        if self._model.pending.hold(typed):
            return True
        terminal = self.focused_terminal
        if terminal is not None:
            terminal.take_input(typed)
        return terminal is not None

    def _release_keys(self, terminal: Terminal | None) -> None:
        if terminal is not None:
            for typed in self._model.pending.release():
                terminal.take_input(typed)

    def hold_keys(self) -> None:
        """Hold keys back until the layout has followed the new size of the host terminal."""
        if self.focused_session is not None and self._model.pending.expect_layout():
            self._layout_timer = self.set_timer(LAYOUT_TIMEOUT, self._layout_arrived)

    @on(Terminal.Resized)
    def _layout_arrived(self) -> None:
        if self._layout_timer is not None:
            self._layout_timer.stop()
            self._layout_timer = None
        self._model.pending.layout_arrived()
        self._release_keys(self.focused_terminal)
