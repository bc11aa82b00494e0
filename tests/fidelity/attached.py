"""Terminals attached to a session by ``ccvm-tui attach``, which can detach and attach again."""

from __future__ import annotations

import sys
from pathlib import Path

from ccvm_tui.guest import TermSize
from tests.fidelity.tmux import Pane, Screen, Tmux

ATTACH = (sys.executable, "-P", "-m", "ccvm_tui", "attach")

_REATTACH = 'while "$@"; do read -r _ || exit; clear; done'
"""A shell script that attaches and, after each detach, waits for Enter and attaches again.

The script clears the terminal, because tmux fills a growing screen from its scrollback, which is empty in the reference.
"""


class Plain:
    """A terminal in which the program runs directly; the reference for all others."""

    def __init__(self, pane: Pane) -> None:
        self.pane = pane

    def look(self) -> Screen:
        return self.pane.screen()

    def resize(self, size: TermSize) -> None:
        self.pane.resize(size)

    def interrupt(self) -> None:
        pass

    def point(self, button: int, x: int, y: int, end: str) -> None:
        self.pane.type(f"\x1b[<{button};{x};{y}{end}")


class Attached(Plain):
    """A terminal that is attached to a session all the time."""

    def __init__(self, server: Tmux, target: str, size: TermSize, directory: Path) -> None:
        self._server = server
        self._target = target
        self._size = size
        self._directory = directory
        super().__init__(self._open())

    def _open(self) -> Pane:
        return self._server.open(("sh", "-c", _REATTACH, "sh", *ATTACH, self._target), self._size, self._directory)

    def resize(self, size: TermSize) -> None:
        self._size = size
        super().resize(size)


class Returning(Attached):
    """A terminal that detaches and attaches again: alternately by the leader key, and as a new terminal."""

    def __init__(self, server: Tmux, target: str, size: TermSize, directory: Path) -> None:
        super().__init__(server, target, size, directory)
        self._interruptions = 0

    def interrupt(self) -> None:
        self._interruptions += 1
        if self._interruptions % 2:
            self.leave()
            self.come_back()
        else:
            self.pane.close()
            self.pane = self._open()

    def leave(self) -> None:
        self.pane.type("\x1cd")
        self.pane.until(f"[detached from {self._target}")

    def come_back(self) -> None:
        self.pane.type("\r")
