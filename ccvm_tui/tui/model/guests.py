"""A running guest as the dashboard knows it, and the logs in its runtime directory."""

from __future__ import annotations

import contextlib
import json
import os
from collections import deque
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from ccvm_tui.client.connection import Keeper
from ccvm_tui.client.listing import ATTEMPT_SIGN
from ccvm_tui.guest import GuestInfo, GuestState, SessionInfo
from ccvm_tui.paths import GuestPaths
from ccvm_tui.protocol import Happened
from ccvm_tui.text import plain_lines

EVENTS_KEPT = 300
SAMPLES_KEPT = 120
"""The number of events, and of samples of the processor and memory use, that are kept for each guest."""

LOG_TAIL = 1 << 17
"""Bytes read from the end of a log."""


class Contact(Enum):
    """The state of the connection to a guest's keeper."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    HUNG = "hung"
    FOREIGN = "foreign"
    """The keeper has another version of the protocol."""


@dataclass
class Guest:
    """One running guest. ``project`` is known even if ``info`` is not, for a keeper of another version."""

    name: str
    contact: Contact = Contact.CONNECTING
    info: GuestInfo | None = None
    keeper: Keeper | None = None
    project: str = ""
    version: str = ""
    console: str = ""
    events: deque[Happened] = field(default_factory=lambda: deque(maxlen=EVENTS_KEPT))
    cpu: deque[float] = field(default_factory=lambda: deque(maxlen=SAMPLES_KEPT))
    memory: deque[float] = field(default_factory=lambda: deque(maxlen=SAMPLES_KEPT))

    @property
    def is_attempt(self) -> bool:
        """True if the guest works on a clone of the project."""
        return self.info.attempt is not None if self.info is not None else ATTEMPT_SIGN in self.name

    @property
    def sessions(self) -> tuple[SessionInfo, ...]:
        """The guest's sessions, as far as they are known."""
        return self.info.sessions if self.info is not None else ()

    @property
    def state(self) -> GuestState | None:
        """The guest's state, or None if its keeper is not connected."""
        return self.info.state if self.info is not None and self.contact is Contact.CONNECTED else None


def _tail(path: Path) -> str:
    with contextlib.suppress(OSError), path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - LOG_TAIL))
        return file.read(LOG_TAIL).decode("utf-8", "replace")
    return ""


def logged_events(guest: str, count: int) -> list[Happened]:
    """Return the newest ``count`` events in the keeper's log, newest last; none if it cannot be read."""
    found: list[Happened] = []
    for line in _tail(GuestPaths(guest).events_log).splitlines():
        with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
            entry = json.loads(line)
            text, session = str(entry.get("text", "")), str(entry.get("session", ""))
            found.append(Happened(float(entry["time"]), str(entry["kind"]), text, session))
    return found[-count:]


def console_lines(guest: Guest, count: int) -> list[str]:
    """Return the last lines of the guest's console, from its log or else from what was received of it."""
    return plain_lines(_tail(GuestPaths(guest.name).console_log) or guest.console, count)
