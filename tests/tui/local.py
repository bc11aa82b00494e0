"""Guests without a machine, for tests and benchmarks: real keepers, sessions on this machine's own ptys."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path

from ccvm_tui.guest import SessionKind, TermSize
from ccvm_tui.protocol import LaunchSpec, SessionSpec


def guest_name(project: str) -> str:
    return f"{Path(project).name}-{hashlib.sha256(project.encode()).hexdigest()[:4]}"


class LocalStarter:
    """A starter of shells without start-up files. An agent is a shell with another prompt."""

    def __init__(self, argv: tuple[str, ...] = ("/bin/sh",), linger: bool = True) -> None:
        self.argv = argv
        self.linger = linger

    def launch(
        self, path: str, kind: SessionKind, size: TermSize, _report: Callable[[str], None], _cancelled: threading.Event
    ) -> LaunchSpec:
        return LaunchSpec(
            name=guest_name(path), project=path, linger=self.linger, session=self.session(path, kind, size)
        )

    def session(self, _path: str, kind: SessionKind, size: TermSize) -> SessionSpec:
        env = {"PS1": "agent> " if kind is SessionKind.AGENT else "$ ", "ENV": "", "HISTFILE": ""}
        return SessionSpec(kind=kind, argv=self.argv, env=env, term="xterm-256color", size=size,
                           name=str(kind.value))  # fmt: skip
