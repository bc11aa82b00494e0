"""What outlives a guest's moment: its log of events while it runs, and why it ended afterwards."""

from __future__ import annotations

import json
import logging
import os
import time
from dataclasses import dataclass
from pathlib import Path

from ccvm_tui.errors import AccelError, BootError, ImageError, PrerequisiteError, UserError
from ccvm_tui.paths import state_dir
from ccvm_tui.protocol import Happened

log = logging.getLogger(__name__)

EVENTS_MAX = 1 << 20
"""Bytes of the events log. What is older than its newer half goes when it is reached."""


UNMET = (AccelError, ImageError, PrerequisiteError)
"""What was missing for a boot."""


@dataclass(frozen=True)
class Ending:
    """Why a guest ended. ``failed`` is what people must be told without asking."""

    failed: bool
    reason: str
    hint: str = ""
    console_tail: str = ""
    error: UserError | None = None

    def as_error(self) -> UserError:
        """For those who wait for the boot. What was missing for it keeps its own kind, and so its exit status."""
        return self.error or BootError(self.reason, self.hint, self.console_tail)


class EventLog:
    """JSON lines in the runtime directory. A full disk costs the log, never the guest."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, event: Happened) -> None:
        line = json.dumps({"time": event.time, "kind": event.kind, "session": event.session, "text": event.text})
        try:
            with open(self._path, "a", opener=_private) as file:
                file.write(line + "\n")
                too_long = file.tell() > EVENTS_MAX
            if too_long:
                self._halve()
        except OSError as error:
            log.warning("cannot write %s: %s", self._path, error)

    def _halve(self) -> None:
        lines = self._path.read_text(errors="replace").splitlines(keepends=True)
        temporary = self._path.with_suffix(".new")
        with open(temporary, "w", opener=_private) as file:
            file.writelines(lines[len(lines) // 2 :])
        temporary.replace(self._path)


def last_run_file(name: str) -> Path:
    return state_dir() / "last" / f"{name}.json"


def record_end(name: str, project: str, ending: Ending) -> None:
    """Keep why the guest ended, for whoever comes when it is gone. Best effort: the guest has ended either way."""
    path = last_run_file(name)
    record = {
        "name": name,
        "project": project,
        "failed": ending.failed,
        "reason": ending.reason,
        "console_tail": ending.console_tail,
        "ended": time.time(),
    }
    temporary = path.with_suffix(".new")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(temporary, "w", opener=_private) as file:
            json.dump(record, file)
        temporary.replace(path)
    except OSError as error:
        log.warning("cannot write %s: %s", path, error)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)
