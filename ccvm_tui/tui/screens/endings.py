"""What becomes of a session on the stage that ends: it leaves, or its last screen stays until it was read."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from ccvm_tui.guest import SessionInfo, SessionKind
from ccvm_tui.protocol import Exited
from ccvm_tui.text import plain, time_text
from ccvm_tui.tui import workers
from ccvm_tui.tui.attention import SessionKey
from ccvm_tui.tui.tree_rows import session_title
from ccvm_tui.tui.widgets.session_pane import SessionPane

if TYPE_CHECKING:
    from ccvm_tui.tui.screens.main import MainScreen

BRIEF = 5.0
"""Seconds. What ends within them has probably said why, and nobody has read it yet."""

TOLD_WITHIN = 3.0
"""Seconds for the session's own stream to tell its end, once the keeper's list no longer has it."""

ENDED_BY_HAND = (128 + 1, 128 + 2, 128 + 15)
"""Statuses of programs that were hung up, interrupted or told to end: somebody wanted that."""


class Endings:
    def __init__(self, screen: MainScreen) -> None:
        self._screen = screen
        self._leaving: set[SessionKey] = set()
        self._asked: set[SessionKey] = set()
        self._asked_guests: set[str] = set()

    def ask(self, key: SessionKey) -> None:
        """The user ends this session."""
        self._asked.add(key)

    def ask_guest(self, name: str) -> None:
        """The user stops this guest."""
        self._asked_guests.add(name)

    def started(self, name: str) -> None:
        """A guest of that name begins anew, and counts its sessions from one again."""
        self._asked_guests.discard(name)
        self._asked = {key for key in self._asked if key.guest != name}

    def gone(self, key: SessionKey) -> None:
        """A shown session is no longer among those that run."""
        pane = self._screen.stage.pane(key)
        if key not in self._leaving and (pane is None or not pane.farewell):
            self._leaving.add(key)
            workers.start(self._screen, partial(self._gone, key), f"end of {key}", "endings")

    async def _gone(self, key: SessionKey) -> None:
        try:
            await self._screen.stage.settle()
            pane = self._screen.stage.pane(key)
            end = await pane.terminal.told_end(TOLD_WITHIN) if pane is not None else None
            if key not in self._screen.stage.keys or key in self._screen.infos:
                return
            info = self._screen.fleet.remembered.get(key)
            if pane is not None and end is not None and info is not None and self._worth_reading(key, info, end):
                pane.bid_farewell(info, _last_words(info, end), again=_again(info) is not None)
                if key.guest in self._screen.acts.awaited:  # it ended before anybody could look at it
                    self._screen.acts.awaited.discard(key.guest)
                    self._screen.current = key
                    self._screen.stage.remove_class("-page")
                    self._screen.set_focus(pane.terminal, scroll_visible=False)
                self._screen.refresh_footer()
                return
            if end is not None and not self._asked_for(key) and (end.status or end.reason):
                text = f"{key}: {end.reason or f'ended with status {end.status}'}"
                self._screen.notify(plain(text, 200), timeout=5, markup=False)
            self.leave(key)
        finally:
            self._leaving.discard(key)

    def _asked_for(self, key: SessionKey) -> bool:
        return key in self._asked or key.guest in self._asked_guests

    def _worth_reading(self, key: SessionKey, info: SessionInfo, end: Exited) -> bool:
        died = end.status < 0  # it has a page of its own
        if died or self._asked_for(key) or end.status in ENDED_BY_HAND:
            return False
        brief = time.time() - info.created < BRIEF
        if info.kind is SessionKind.SHELL:  # its status is that of the last command: it says nothing
            return brief and end.status != 0
        return brief or end.status != 0

    def leave(self, key: SessionKey) -> None:
        """Take the session off the stage; the focus goes to the one beside it, or to the tree."""
        screen = self._screen
        left = [one for one in screen.stage.keys if one != key]
        had_focus = screen.focused_terminal is not None and screen.current == key
        if screen.before == key:
            screen.before = None
        if screen.current == key:
            screen.current = None
        following = left[0] if had_focus and left else None
        screen.show_sessions(left, focus=following)
        if following is not None:
            screen.current = following
        elif had_focus:
            screen.fleet_tree.focus()
        if not left:
            screen.pages.show(screen.fleet_tree.row)

    # --- what the user does with a last screen -------------------------------------------------------------

    @property
    def shown(self) -> SessionPane | None:
        """The pane in focus, if it shows a last screen."""
        terminal = self._screen.focused_terminal
        pane = self._screen.stage.pane(terminal.key) if terminal is not None else None
        return pane if pane is not None and pane.farewell else None

    def close(self) -> None:
        if (pane := self.shown) is not None:
            self.leave(pane.key)

    def again(self) -> None:
        """Another session of the same kind, in the guest or in a new one."""
        pane = self.shown
        if pane is None or (kind := _again(pane.info)) is None:
            return
        guest = self._screen.fleet.guests.get(pane.key.guest)
        project = self._screen.guest_project(pane.key.guest)
        self.leave(pane.key)
        if guest is not None:
            self._screen.acts.new_session(guest, kind)
        elif project:
            self._screen.acts.run(project, kind)

    def keys(self) -> list[tuple[str, str, str]]:
        """The footer's while a last screen has the focus."""
        again = [("r", "run again", "again")] if self.shown is not None and _again(self.shown.info) else []
        return [("Enter", "close", "close_ended"), *again]


def _again(info: SessionInfo | None) -> SessionKind | None:
    """The kind that can be started once more without knowing what it was told."""
    return info.kind if info is not None and info.kind is not SessionKind.COMMAND else None


def _last_words(info: SessionInfo, end: Exited) -> str:
    how = plain(end.reason, 100) or f"ended with status {end.status}"
    return f"{session_title(info)} {how} after {time_text(time.time() - info.created)}"
