"""What every key, click and command of the main screen does, by the name of its action."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ccvm_tui.guest import GuestState, SessionInfo, SessionKind
from ccvm_tui.protocol import Happened
from ccvm_tui.text import plain
from ccvm_tui.tui import attention
from ccvm_tui.tui.attention import SessionKey
from ccvm_tui.tui.fleet import Contact, Guest
from ccvm_tui.tui.screens.copies import Copies
from ccvm_tui.tui.screens.endings import Endings
from ccvm_tui.tui.screens.questions import Questions
from ccvm_tui.tui.strips import safe_link
from ccvm_tui.tui.tree_rows import RowKind, TreeRow, project_row_id, session_title
from ccvm_tui.tui.widgets.stage import TILES_MAX

if TYPE_CHECKING:
    from ccvm_tui.tui.screens.main import MainScreen


class Deeds:
    def __init__(self, screen: MainScreen) -> None:
        self._screen = screen
        self.copies = Copies(screen)
        self.questions = Questions(screen)
        self.endings = Endings(screen)

    def do(self, action: str, number: int = 0) -> None:
        """Carry out an action of a key, a click or the palette."""
        if action == "number":
            self.by_number(number)
        elif method := getattr(self, f"do_{action}", None):
            method()

    # --- sessions ------------------------------------------------------------------------------------------

    def go(self, key: SessionKey) -> None:
        """Into a session: shown, in focus, and the tree's cursor on it."""
        screen = self._screen
        if key != screen.current:
            screen.before, screen.current = screen.current, key
        keys = screen.stage.keys
        if key not in keys:
            tiled = len(keys) > 1 and not screen.stage.showing_page
            keys = [key if one == screen.before else one for one in keys] if tiled and screen.before in keys else [key]
        screen.stage.remove_class("-page")
        screen.show_sessions(list(keys), focus=key)
        if row := screen.row_of(key):
            screen.fleet_tree.move_to(row.id)
        if key not in screen.infos:
            self.endings.gone(key)  # it has ended already

    def preview(self, row: TreeRow | None) -> None:
        """The tree's cursor came to ``row``: show what it is about, without taking the keys there."""
        screen = self._screen
        focused = screen.focused_terminal
        if focused is not None and focused.key not in screen.infos:
            return  # it has ended, and its last screen is read
        key = self._session_of(row)
        if key is None or not screen.fleet.connected(key.guest):
            screen.pages.show(row)
            return
        if screen.focused_terminal is not None and key == screen.current:
            return
        screen.stage.remove_class("-page")
        if key not in screen.stage.keys:
            if len(screen.stage.keys) > 1 and screen.focused_terminal is None and row and row.session is None:
                return
            screen.show_sessions([key])

    def _session_of(self, row: TreeRow | None) -> SessionKey | None:
        """The session that a row stands for: itself, or the first of its guest or project."""
        if row is None:
            return None
        if row.session is not None:
            there = row.session in self._screen.infos or row.session in self._screen.stage.keys
            return row.session if there else None

        def inside(key: SessionKey) -> bool:
            return key.guest == row.guest or (not row.guest and self._screen.guest_project(key.guest) == row.project)

        current = self._screen.current
        # else one that has just ended and is still shown
        mine = [key for key in self._screen.infos if inside(key)] or list(filter(inside, self._screen.stage.keys))
        return current if current in mine else mine[0] if mine else None

    def open_row(self, row: TreeRow) -> None:
        key = self._session_of(row)
        if key is not None:
            self.go(key)
        elif (guest := self._guest_of(row)) is None:
            self.do_run()
        elif guest.info is not None:
            self.do_shell()

    def _keys(self) -> list[SessionKey]:
        rows = self._screen.fleet_tree.rows
        return [row.session for row in rows if row.session is not None and row.session in self._screen.infos]

    def _step(self, by: int) -> None:
        keys = [key for key, _ in self._screen.fleet.sessions()]
        ordered = self._keys() or keys
        if not ordered:
            return
        current = self._screen.current
        at = ordered.index(current) if current in ordered else (-1 if by > 0 else 0)
        self.go(ordered[(at + by) % len(ordered)])

    def do_next(self) -> None:
        self._step(1)

    def do_previous(self) -> None:
        self._step(-1)

    def do_last(self) -> None:
        if self._screen.before is not None and self._screen.before in self._screen.infos:
            self.go(self._screen.before)

    def by_number(self, number: int) -> None:
        row = next((row for row in self._screen.fleet_tree.rows if row.number == number and row.session), None)
        if row is not None and row.session is not None:
            self.go(row.session)

    def do_attention(self) -> None:
        screen = self._screen
        quiet = [(key, info) for key, info in screen.fleet.sessions() if not screen.is_muted(key)]
        key = attention.following(attention.queue(quiet), screen.current if screen.focused_terminal else None)
        if key is None:
            screen.notify("No session waits for you", timeout=2)
        else:
            self.go(key)

    def do_focus_content(self) -> None:
        keys = self._screen.stage.keys
        if keys and not self._screen.stage.showing_page:
            self.go(self._screen.current if self._screen.current in keys else keys[0])

    def do_detach(self) -> None:
        screen = self._screen
        if (terminal := screen.focused_terminal) is not None:
            terminal.leave_scrollback()
        if screen.query_one("#sidebar").has_class("-hidden"):
            self.do_sidebar()
        screen.fleet_tree.focus()

    # --- guests --------------------------------------------------------------------------------------------

    def _guest_of(self, row: TreeRow | None) -> Guest | None:
        screen = self._screen
        if row is None:
            return None
        if row.guest:
            return screen.fleet.guests.get(row.guest)
        return next((guest for guest in screen.fleet.guests.values() if guest.project == row.project), None)

    def _guest(self) -> Guest | None:
        """The guest that a deed is about: of the focused session, else of the tree's row."""
        screen = self._screen
        if screen.focused_terminal is not None and screen.current is not None:
            return screen.fleet.guests.get(screen.current.guest)
        return self._guest_of(screen.fleet_tree.row)

    def _session(self) -> SessionKey | None:
        screen = self._screen
        if screen.focused_terminal is not None:
            return screen.focused_terminal.key
        return screen.fleet_tree.row.session if screen.fleet_tree.row is not None else None

    def _start(self, kind: SessionKind | None) -> None:
        row = self._screen.fleet_tree.row
        guest = self._guest()
        if guest is not None:
            self._screen.acts.new_session(guest, kind or SessionKind.SHELL)
        elif row is not None:
            self._screen.acts.run(row.project, kind or self.questions.default_kind(row.project))

    def start_project(self, path: str) -> None:
        """Start a project from wherever the tree's cursor is."""
        self._screen.fleet_tree.move_to(project_row_id(path))
        self._screen.acts.run(path, self.questions.default_kind(path))

    def do_run(self) -> None:
        if self._guest() is None:
            self._start(None)
        else:
            self._screen.notify("It runs already; c opens a shell in it, g an agent", timeout=3)

    def do_shell(self) -> None:
        self._start(SessionKind.SHELL)

    def do_agent(self) -> None:
        self._start(SessionKind.AGENT)

    def do_stop(self) -> None:
        row = self._screen.fleet_tree.row
        if (guest := self._guest()) is not None:
            self._screen.acts.stop(guest)
        elif row is not None:
            self._screen.acts.cancel_start(row.project)

    def do_pause(self) -> None:
        if (guest := self._guest()) is not None:
            self._screen.acts.pause_or_resume(guest)

    def do_close_ended(self) -> None:
        self.endings.close()

    def do_again(self) -> None:
        self.endings.again()

    def do_end(self) -> None:
        if self.endings.shown is not None:
            self.endings.close()
        elif (key := self._session()) is not None:
            self._screen.acts.end_session(key)

    def do_mute(self) -> None:
        """Mute or unmute the row's session, or its whole project."""
        row = self._screen.fleet_tree.row
        if row is None:
            return
        if row.session is not None:
            info = self._screen.infos.get(row.session)
            self._screen.acts.mute(row.session, info is None or not info.muted)
            return
        entry = next((one for one in self._screen.projects if one.path == row.project), None)
        if entry is not None:
            self._screen.acts.mute_project(entry.path, not entry.muted)

    # --- the screen ----------------------------------------------------------------------------------------

    def do_sidebar(self) -> None:
        screen = self._screen
        hide = not screen.query_one("#sidebar").has_class("-hidden")
        screen.query_one("#sidebar").set_class(hide, "-hidden")
        screen.query_one("#divider").set_class(hide, "-hidden")
        if hide and screen.focused is screen.fleet_tree:
            self.do_focus_content()

    def do_narrower(self) -> None:
        self._screen.set_sidebar(self._screen.query_one("#sidebar").size.width - 4)

    def do_wider(self) -> None:
        self._screen.set_sidebar(self._screen.query_one("#sidebar").size.width + 4)

    def do_details(self) -> None:
        self._screen.toggle_details()

    def do_tile(self) -> None:
        """One more session beside those shown; from the fourth, back to one."""
        screen = self._screen
        shown = list(screen.stage.keys)
        rest = [key for key in self._keys() if key not in shown]
        first = screen.current or (shown[0] if shown else None)
        if shown and (len(shown) >= TILES_MAX or not rest):
            focus = first if first in shown else shown[0]
            screen.show_sessions([focus], focus=focus if screen.focused_terminal else None)
            if len(shown) == 1:
                screen.notify("There is no other session to put beside it", timeout=3)
            return
        if rest:
            screen.stage.remove_class("-page")
            screen.show_sessions([*shown, rest[0]], focus=first if screen.focused_terminal else None)

    def do_refold(self) -> None:
        self._screen.refresh_tree()

    def do_filter(self) -> None:
        self.questions.filter()

    def do_quit(self) -> None:
        self._screen.app.exit(0)

    def do_popup(self) -> None:
        self._screen.show_popup()

    def do_scrollback(self) -> None:
        if (terminal := self._screen.focused_terminal) is not None and terminal.ended is None:
            terminal.read_scrollback()
            self._screen.refresh_footer()

    def do_leave_scrollback(self) -> None:
        if (terminal := self._screen.focused_terminal) is not None:
            terminal.leave_scrollback()
            self._screen.refresh_footer()

    def do_search(self) -> None:
        self.copies.search(backwards=False)

    def do_save_scrollback(self) -> None:
        self.copies.save()

    def do_zoom(self) -> None:
        if self.endings.shown is not None:
            return
        if (key := self._session()) is not None or (key := self._screen.current) is not None:
            self.questions.zoom(key)

    def do_switch(self) -> None:
        self.questions.switch()

    def do_help(self) -> None:
        self.questions.help()

    def do_palette(self) -> None:
        self.questions.palette()

    def do_add(self) -> None:
        self.questions.add_project()

    def do_forget(self) -> None:
        self.questions.forget_project()

    def do_logs(self) -> None:
        self.questions.logs(self._guest_of(self._screen.fleet_tree.row))

    def do_settings(self) -> None:
        row = self._screen.fleet_tree.row
        if row is not None:
            self.questions.settings(row.project)

    def open_link(self, address: str) -> None:
        """A link in a session was clicked. Only schemes that cannot run anything are opened."""
        if safe_link(address):
            self._screen.notify(f"Opening {plain(address, 150)}", timeout=3, markup=False)
            self._screen.app.open_url(address)

    # --- what happened -------------------------------------------------------------------------------------

    def heard(self, guest: str, event: Happened) -> None:
        if event.kind == "clipboard":
            self.copies.offered(SessionKey(guest, event.session), event.data)
        elif event.kind == "warning":
            self._screen.notify(plain(f"{guest}: {event.text}", 200), severity="warning", markup=False)

    def notify_outside(self, key: SessionKey, info: SessionInfo, text: str) -> None:
        """A session elsewhere wants the user: a line here, and the outer terminal's own notification."""
        screen = self._screen
        title = f"{session_title(info)} · {key.guest}"
        screen.notify(plain(text, 200), title=plain(title, 80), timeout=6, markup=False)
        if screen.settings.notifications:
            self.tell_outside(attention.notification(title, text))

    def tell_outside(self, sequence: str) -> None:
        """Write something that is no cell to the outer terminal; nothing in tests without one."""
        app = self._screen.app
        if app._driver is not None and not app.is_headless:
            app._driver.write(sequence)

    def tree_keys(self) -> list[tuple[str, str, str]]:
        """The footer's keys while the tree has the focus: those that do something on its row."""
        row = self._screen.fleet_tree.row
        if row is None:
            return [("+", "add a project", "add"), ("?", "help", "help"), ("q", "quit", "quit")]
        guest = self._guest_of(row)
        if guest is None and self._screen.acts.preparing(row.project):
            keys = [("S", "cancel", "stop")]
        elif guest is None:
            keys = [("r", "run", "run"), ("e", "settings", "settings"), ("-", "forget", "forget")]
        else:
            keys = self._guest_keys(guest, session=row.kind is RowKind.SESSION)
        keys += [("Space", "find", "switch"), ("/", "filter", "filter"), ("+", "add", "add")]
        return [*keys, ("?", "help", "help"), ("q", "quit", "quit")]

    def _guest_keys(self, guest: Guest, *, session: bool) -> list[tuple[str, str, str]]:
        state = guest.info.state if guest.info is not None and guest.contact is Contact.GOOD else None
        stop, logs = ("S", "stop", "stop"), ("l", "logs", "logs")
        match state:
            case GuestState.RUNNING:
                keys = [("Enter", "open", "focus_content"), ("c", "shell", "shell"), ("g", "agent", "agent")]
                return [*keys, *([("x", "end", "end")] if session else []), stop, ("P", "pause", "pause"), logs]
            case GuestState.PAUSED:
                return [("P", "resume", "pause"), stop, logs]
            case GuestState.BOOTING:
                return [stop, logs]
            case None:
                return [stop]
        return [logs]
