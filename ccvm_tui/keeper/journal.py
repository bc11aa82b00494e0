"""The guest's journal: the log of events while it runs, and the record of its end."""

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
"""Maximum size of the log of events in bytes. When it is reached, the older half is removed."""


UNMET_PREREQUISITES = (AccelError, ImageError, PrerequisiteError)
"""Errors that mean that something was missing for a boot."""


@dataclass(frozen=True)
class Ending:
    """The end of a guest. ``failed`` is true if no user requested it.

    ``error`` is set if something was missing for the boot.
    """

    failed: bool
    reason: str
    hint: str = ""
    console_tail: str = ""
    error: UserError | None = None

    def as_error(self) -> UserError:
        """Return the error for callers that wait for the boot.

        ``error`` keeps its type, which determines the exit status. All other endings become BootError.
        """
        return self.error or BootError(self.reason, self.hint, self.console_tail)


class EventLog:
    """A log of events as JSON lines. A full disk stops the log and never affects the guest."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, event: Happened) -> None:
        """Append an event. A failure is logged and otherwise ignored."""
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


def end_record_file(name: str) -> Path:
    """Return the file with the record of the last end of the guest ``name``."""
    return state_dir() / "last" / f"{name}.json"


def record_end(name: str, project: str, ending: Ending) -> None:
    """Store the record of a guest's end. A failure is logged and otherwise ignored."""
    path = end_record_file(name)
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
