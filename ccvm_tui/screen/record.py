"""The keeper's record of a session, from which the next screen process continues after a crash."""

from collections import deque
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from ccvm_tui.guest import UNKNOWN_COLOURS, TermColours, TermSize

CRASHES_MAX: Final = 3
CRASH_WINDOW: Final = 10.0
"""Seconds in which a session must crash ``CRASHES_MAX`` processes to be restricted."""

KEPT_MAX: Final = 1 << 20
"""Bytes per session that are kept while no process runs. If a session prints more, they are lost and it is redrawn."""


class CrashAction(Enum):
    """The treatment of a session that has crashed the screen process."""

    CONTINUE = auto()
    RESTRICT = auto()
    """From now on the session's output is filtered strictly."""
    DISABLE = auto()
    """From now on the session's output is discarded."""


@dataclass
class SessionRecord:
    """The size, the last checkpoint and the crashes of a session.

    ``fed`` counts the bytes sent to the current process, ``saved`` those that ``state`` includes. ``lost`` is true if
    the screen is missing some of the output.
    """

    size: TermSize
    scrollback: int
    graphemes: bool = False
    colours: TermColours = UNKNOWN_COLOURS
    state: bytes = b""
    fed: int = 0
    saved: int = 0
    lost: bool = False
    strict: bool = False
    failed: bool = False
    _crashes: deque[float] = field(default_factory=lambda: deque(maxlen=CRASHES_MAX))
    _kept: list[bytes] = field(default_factory=list)
    _kept_size: int = 0

    def keep(self, data: bytes) -> None:
        """Keep output that was printed while no process runs."""
        self._kept_size += len(data)
        if self._kept_size <= KEPT_MAX:
            self._kept.append(data)
        else:
            self.lost = True
            self._kept.clear()

    def begin(self) -> list[bytes]:
        """Start counting for a new process. Returns the output that was kept for it."""
        self.fed = self.saved = 0
        self.lost = False
        kept, self._kept, self._kept_size = self._kept, [], 0
        return kept

    def process_died(self) -> None:
        """Mark the output since the last checkpoint as lost."""
        self.lost = self.lost or self.fed != self.saved

    def record_crash(self, now: float) -> CrashAction:
        """Record that this session has crashed the process, and return how to treat the session."""
        self.lost = True
        self._kept.clear()
        if self.fed == 0:
            # The checkpoint itself crashed the process.
            self.state = b""
        self._crashes.append(now)
        if len(self._crashes) < CRASHES_MAX or now - self._crashes[0] > CRASH_WINDOW:
            return CrashAction.CONTINUE
        self._crashes.clear()
        if not self.strict:
            self.strict = True
            return CrashAction.RESTRICT
        self.failed, self.lost, self.state = True, False, b""
        return CrashAction.DISABLE
