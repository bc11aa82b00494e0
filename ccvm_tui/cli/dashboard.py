"""``ccvm-tui`` without a verb: the dashboard, given the same way of starting guests that ``run`` has."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec

from ccvm_tui import config, project
from ccvm_tui.cli import images, plan
from ccvm_tui.cli.bootline import BootLine
from ccvm_tui.cli.privilege import refuse_root
from ccvm_tui.cli.tty import require_full_screen
from ccvm_tui.errors import UserError
from ccvm_tui.guest import SessionKind, TermSize
from ccvm_tui.protocol import LaunchSpec, SessionSpec


class _Note(BootLine):
    """Takes the place of the line on stderr, which belongs to the dashboard now."""

    def __init__(self, name: str, told: Callable[[str], None]) -> None:
        super().__init__(name, io.StringIO())
        self._told = told

    def note(self, text: str) -> None:
        self._told(text)


class UserStarter:
    """Guests as the user's settings want them; an image that is missing is built."""

    def __init__(self) -> None:
        self._going: set[threading.Event] = set()

    def launch(
        self, path: str, kind: SessionKind, size: TermSize, told: Callable[[str], None], give_up: threading.Event
    ) -> LaunchSpec:
        found = project.resolve(path)
        settings = config.resolve(found.path, os.environ).settings
        spec = plan.launch_spec(found, found.name, settings, os.environ)
        wanted = kind is SessionKind.AGENT
        self._going.add(give_up)
        try:
            spec = images.with_image(spec, settings, _Note(found.name, told), give_up, agent_wanted=wanted)
        finally:
            self._going.discard(give_up)
        return msgspec.structs.replace(spec, session=self.session(path, kind, size))

    def close(self) -> None:
        """Nobody waits any more for what is being made."""
        for give_up in list(self._going):
            give_up.set()

    def session(self, path: str, kind: SessionKind, size: TermSize) -> SessionSpec:
        settings = config.resolve(Path(path), os.environ).settings
        spec = plan.session_spec(kind, (), settings, os.environ)
        return msgspec.structs.replace(spec, size=size)


def run() -> int:
    """Returns when the user quits. Raises UserError when there is no terminal or the settings are wrong."""
    from ccvm_tui.tui.run import run_dashboard

    refuse_root()
    require_full_screen()
    effective = config.resolve(None, os.environ)
    starter = UserStarter()
    try:
        return run_dashboard(effective.settings, starter, tuple(effective.file.projects), _here())
    finally:
        starter.close()


def _here() -> str:
    """The current directory, if it can be a project."""
    try:
        return str(project.resolve(".").path)
    except (UserError, OSError):
        return ""
