"""Guests without a machine, for tests and benchmarks: real keepers, sessions on this machine's own ptys."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path

from ccvm_tui.attempt.plan import plan
from ccvm_tui.attempt.spec import AttemptSpec
from ccvm_tui.guest import SessionKind, TermSize
from ccvm_tui.project import attempt_guest, resolve
from ccvm_tui.protocol import LaunchSpec, SessionSpec


def guest_name(project: str) -> str:
    return f"{Path(project).name}-{hashlib.sha256(project.encode()).hexdigest()[:4]}"


class LocalStarter:
    """A starter of shells without start-up files. An agent is a shell with another prompt."""

    def __init__(self, argv: tuple[str, ...] = ("/bin/sh",), linger: bool = True) -> None:
        self.argv = argv
        self.linger = linger

    def launch(
        self,
        path: str,
        kind: SessionKind,
        size: TermSize,
        _report: Callable[[str], None],
        _cancelled: threading.Event,
        attempt: str = "",
    ) -> LaunchSpec:
        session = self.session(path, kind, size)
        if not attempt:
            return LaunchSpec(name=guest_name(path), project=path, linger=self.linger, session=session)
        planned = plan(path, AttemptSpec(attempt), ())
        name = attempt_guest(resolve(path), attempt)
        return LaunchSpec(
            name=name, project=path, read_only=True, linger=self.linger, session=session, attempt=planned.attempt,
            warnings=planned.notes,
        )  # fmt: skip

    def session(self, _path: str, kind: SessionKind, size: TermSize) -> SessionSpec:
        env = {"PS1": "agent> " if kind is SessionKind.AGENT else "$ ", "ENV": "", "HISTFILE": ""}
        return SessionSpec(kind=kind, argv=self.argv, env=env, term="xterm-256color", size=size,
                           name=str(kind.value))  # fmt: skip
