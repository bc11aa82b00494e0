"""The source of the parameters of guests and sessions that the dashboard starts."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import msgspec

from ccvm_tui import config, project
from ccvm_tui.attempt.spec import AttemptSpec
from ccvm_tui.boot import images
from ccvm_tui.boot.attempts import planned
from ccvm_tui.boot.specs import launch_spec, session_spec
from ccvm_tui.guest import SessionKind, TermSize
from ccvm_tui.protocol import LaunchSpec, SessionSpec


class Starter(Protocol):
    """The source of these parameters. Both methods block; call them in a thread. They raise UserError."""

    def launch(
        self,
        path: str,
        kind: SessionKind,
        size: TermSize,
        report: Callable[[str], None],
        cancel: threading.Event,
        attempt: str = "",
        /,
    ) -> LaunchSpec:
        """Return the parameters of the guest of the project in ``path``, with its first session.

        ``attempt`` is the name of an attempt, or empty for the project's own guest. ``report`` receives the progress of
        everything that takes long, and ``cancel`` ends it.
        """

    def session(self, path: str, kind: SessionKind, size: TermSize, /) -> SessionSpec:
        """Return the parameters of a session in the guest of the project in ``path``."""


class UserStarter:
    """A ``Starter`` that follows the user's settings, and builds the image if it is missing."""

    def __init__(self) -> None:
        self._active: set[threading.Event] = set()

    def launch(
        self,
        path: str,
        kind: SessionKind,
        size: TermSize,
        report: Callable[[str], None],
        cancel: threading.Event,
        attempt: str = "",
    ) -> LaunchSpec:
        """Return the parameters of the project's guest, with its first session and the image."""
        found = project.resolve(path)
        settings = config.resolve(found.path, os.environ).settings
        name, wanted = found.name, None
        if attempt:
            name, wanted = project.attempt_guest(found, attempt), AttemptSpec(attempt)
        self._active.add(cancel)
        try:
            spec = images.provide(
                planned(launch_spec(found, name, settings, os.environ, wanted), settings),
                settings,
                lambda progress: report(f"image: {progress}"),
                cancel,
                agent_wanted=kind is SessionKind.AGENT,
            )
        finally:
            self._active.discard(cancel)
        return msgspec.structs.replace(spec, session=self.session(path, kind, size))

    def session(self, path: str, kind: SessionKind, size: TermSize) -> SessionSpec:
        """Return the parameters of a session in the project's guest."""
        settings = config.resolve(Path(path), os.environ).settings
        return session_spec(kind, (), settings, os.environ, size)

    def close(self) -> None:
        """Cancel all builds that are still running."""
        for cancel in list(self._active):
            cancel.set()
