"""How the dashboard gets a guest started and a session's spec, without knowing images or the user's terminal.

The command line gives the real thing; a test gives one whose guests have no machine.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

from ccvm_tui.guest import SessionKind, TermSize
from ccvm_tui.protocol import LaunchSpec, SessionSpec


class Starter(Protocol):
    """Both may block and are called in a thread. They raise UserError for what the user should know."""

    def launch(
        self, path: str, kind: SessionKind, size: TermSize, told: Callable[[str], None], give_up: threading.Event
    ) -> LaunchSpec:
        """The guest of the project's settings, with its first session.

        ``told`` hears what takes long; ``give_up`` ends that.
        """

    def session(self, path: str, kind: SessionKind, size: TermSize) -> SessionSpec:
        """Another session for a guest that runs."""
