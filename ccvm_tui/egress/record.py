"""The record of all attempts to reach the network: in memory, and as JSON lines in the guest's directory, both bounded.

It has names, ports, verdicts and numbers of bytes, and nothing of what was sent. An attempt that is refused has one
line. One that is allowed has a line when the connection is made, and another with the numbers of bytes at its end.
"""

from __future__ import annotations

import itertools
import json
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from ccvm_tui.egress import hosts
from ccvm_tui.egress.hosts import Host
from ccvm_tui.egress.policy import Verdict
from ccvm_tui.machine.console import BoundedLog

FILE_MAX = 1 << 20
"""Maximum size of a file of the record in bytes; there are two."""

MEMORY_MAX = 2000
"""Maximum number of attempts in memory."""

_NAME_MAX = 253


class Outcome(StrEnum):
    """The state of an attempt."""

    HELD = "held"
    """The user is being asked."""
    REFUSED = "refused"
    OPEN = "open"
    CLOSED = "closed"
    FAILED = "failed"
    """The policy allows it, but the host could not be reached."""


@dataclass(slots=True)
class Attempt:
    """One attempt.

    ``via`` is how the program connected: ``tcp`` (redirected), ``connect``, ``socks`` or ``http``. ``sent`` and
    ``received`` are bytes from and to the guest. ``session`` is what the guest reports, and empty if that is nothing;
    root in the guest can report another one.
    """

    number: int
    time: float
    via: str
    host: str
    port: int
    outcome: Outcome = Outcome.HELD
    verdict: str = ""
    rule: str = ""
    reason: str = ""
    address: str = ""
    session: str = ""
    sent: int = 0
    received: int = 0
    version: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return the fields for a line of the record."""
        return {
            "id": self.number, "time": round(self.time, 3), "session": self.session, "via": self.via,
            "host": self.host, "port": self.port, "address": self.address, "outcome": self.outcome.value,
            "verdict": self.verdict, "rule": self.rule, "reason": self.reason,
            "sent": self.sent, "received": self.received,
        }  # fmt: skip


class Record:
    """The attempts of one guest. ``on_change`` is called after each change."""

    def __init__(self, path: Path, on_change: Callable[[Attempt], None] = lambda _: None) -> None:
        self._log = BoundedLog(path, FILE_MAX, tail=0)
        self._numbers = itertools.count(1)
        self._on_change = on_change
        self.version = 0
        """A number that increases with each change."""
        self.attempts: deque[Attempt] = deque(maxlen=MEMORY_MAX)
        self.refused = 0
        """The number of refused attempts."""

    def begin(self, via: str, host: Host, port: int, session: str = "") -> Attempt:
        """Return a new attempt."""
        name = hosts.text(host)[:_NAME_MAX]
        attempt = Attempt(next(self._numbers), time.time(), via, name, port, session=session)
        self.attempts.append(attempt)
        return attempt

    def hold(self, attempt: Attempt) -> None:
        """Record that the user is being asked about the attempt."""
        self._notify(attempt)

    def since(self, version: int) -> list[Attempt]:
        """Return the attempts that have changed after ``version``, oldest first."""
        return [attempt for attempt in self.attempts if attempt.version > version]

    def decide(self, attempt: Attempt, verdict: Verdict) -> None:
        """Record the verdict. A refusal ends the attempt."""
        attempt.verdict, attempt.rule, attempt.reason = verdict.effect.value, verdict.rule, verdict.reason
        if not verdict.allowed:
            self.refused += 1
            self._change(attempt, Outcome.REFUSED)

    def open(self, attempt: Attempt, address: str) -> None:
        """Record that the connection was made to ``address``."""
        attempt.address = address
        self._change(attempt, Outcome.OPEN)

    def fail(self, attempt: Attempt, reason: str) -> None:
        """Record that the host could not be reached."""
        attempt.reason = reason
        self._change(attempt, Outcome.FAILED)

    def end(self, attempt: Attempt, sent: int, received: int) -> None:
        """Record the end of an open connection."""
        attempt.sent, attempt.received = sent, received
        if attempt.outcome is Outcome.OPEN:
            self._change(attempt, Outcome.CLOSED)

    def _change(self, attempt: Attempt, outcome: Outcome) -> None:
        attempt.outcome = outcome
        self._log.write(json.dumps(attempt.as_json()).encode() + b"\n")
        self._notify(attempt)

    def _notify(self, attempt: Attempt) -> None:
        self.version += 1
        attempt.version = self.version
        self._on_change(attempt)

    def close(self) -> None:
        """Close the file."""
        self._log.close()
