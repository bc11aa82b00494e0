"""The main screen's header and footer, the lines above sessions, and the title of the outer terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import psutil

from ccvm_tui.guest import GuestState
from ccvm_tui.text import plain, size_text
from ccvm_tui.tui import attention
from ccvm_tui.tui.attention import SessionKey
from ccvm_tui.tui.bindings import shown_key
from ccvm_tui.tui.tree_rows import session_title
from ccvm_tui.tui.widgets.bars import Bar, FooterBar, Piece

if TYPE_CHECKING:
    from ccvm_tui.tui.screens.main import MainScreen


class LinesAround:
    """A part of the main screen."""

    _load = ""
    _title = ""

    @property
    def _main(self) -> MainScreen:
        return cast("MainScreen", self)

    def read_load(self) -> None:
        memory = psutil.virtual_memory()
        load = psutil.getloadavg()[0]
        cpu = psutil.cpu_percent()
        self._load = f"load {load:.1f}  cpu {cpu:.0f}%  mem {size_text(memory.used)}/{size_text(memory.total)} "
        self.refresh_header()

    def refresh_header(self) -> None:
        main = self._main
        if not main.composed:
            return
        guests = main.fleet.guests.values()
        states = [guest.info.state for guest in guests if guest.info is not None]
        running = states.count(GuestState.RUNNING)
        waiting = sum(1 for key, info in main.infos.items() if attention.wants(info) and not main.is_muted(key))
        left = [Piece(" ccvm ", "primary", True)]
        left.append(Piece(f" ● {running} running ", "success" if running else "muted"))
        for state, shape, colour in ((GuestState.BOOTING, "◐", "warning"), (GuestState.PAUSED, "‖", "secondary")):
            if count := states.count(state):
                left.append(Piece(f" {shape} {count} {state.value} ", colour))
        left.append(Piece(f" {len(main.infos)} session{'' if len(main.infos) == 1 else 's'} ", "muted"))
        if waiting:
            left.append(Piece(f" ! {waiting} waiting ", "accent", True, "attention"))
        main.query_one("#header", Bar).show(left, (Piece(self._load, "muted"),))
        self._outer_title(waiting)

    def refresh_titles(self) -> None:
        """The line above each session on the stage."""
        main = self._main
        guests = main.fleet.guests.values()
        paused = {one.name for one in guests if one.info is not None and one.info.state is GuestState.PAUSED}
        main.stage.refresh_titles(main.infos, paused)

    def _outer_title(self, waiting: int) -> None:
        main = self._main
        name = ""
        if main.current is not None and (info := main.infos.get(main.current)) is not None:
            name = f" — {session_title(info)} · {main.current.guest}"
        title = f"{f'({waiting}) ' if waiting else ''}ccvm{name}"
        if title != self._title:
            self._title = title
            main.deeds.tell_outside(f"\x1b]2;{plain(title, 120)}\x1b\\")

    def is_muted(self, key: SessionKey) -> bool:
        main = self._main
        path = main.guest_project(key.guest)
        muted = any(entry.muted for entry in main.projects if entry.path == path)
        return muted or (key in main.infos and main.infos[key].muted)

    def refresh_footer(self) -> None:
        main = self._main
        if not main.composed:
            return
        footer = main.query_one("#footer", FooterBar)
        leader = shown_key(main.settings.leader)
        keys = main.settings.keys
        terminal = main.focused_terminal
        if terminal is not None and terminal.reading is not None and terminal.reading.glancing:
            reads = f"{leader} {shown_key(keys.scrollback)}"
            footer.show_keys(
                [("Esc", "back, or just type", "leave_scrollback"), ("PageUp PageDown", "scroll", ""),
                 (reads, "search, select, save", "scrollback")]
            )  # fmt: skip
        elif terminal is not None and terminal.reading is not None:
            footer.show_keys(
                [("q", "back", "leave_scrollback"), ("/", "search", "search"), ("n N", "matches", ""),
                 ("v V", "select", ""), ("y", "copy", ""), ("s", "save", "save_scrollback"), ("g G", "ends", "")]
            )  # fmt: skip
        elif main.deeds.endings.shown is not None:
            footer.show_keys([*main.deeds.endings.keys(), (leader, "then", "popup")])
        elif terminal is not None:
            pairs = [("detach", "tree"), ("switch", "switch"), ("attention", "waiting"), ("shell", "shell"),
                     ("zoom", "zoom"), ("scrollback", "scroll"), ("help", "help")]  # fmt: skip
            shown = [(shown_key(getattr(keys, name)), about, name) for name, about in pairs]
            footer.show_keys([(leader, "then", "popup"), *shown])
        else:
            footer.show_keys(main.deeds.tree_keys())
