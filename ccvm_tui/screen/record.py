"""What the keeper remembers of a session for the screen process that comes after this one."""

from collections import deque
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from ccvm_tui.guest import UNKNOWN_COLOURS, TermColours, TermSize

CRASHES_MAX: Final = 3
CRASH_WINDOW: Final = 10.0
"""A session that kills `CRASHES_MAX` processes within so many seconds is treated otherwise from then on."""

KEPT_MAX: Final = 1 << 20
"""Bytes per session that are kept while no process runs; a session that prints more loses them and is redrawn."""


class Sentence(Enum):
    """What becomes of a session over which the process died."""

    MERCY = auto()
    DIET = auto()
    """Everything that the emulator could do without is taken out of its output."""
    NOTHING = auto()
    """It is not fed any more."""


@dataclass
class SessionRecord:
    """Size, last checkpoint, and what the session has done.

    `fed` counts bytes given to the process that has the session now, `saved` how many of them are in `state`.
    `lost` says that the screen will miss some of the output.
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
        """Output that came while no process runs."""
        self._kept_size += len(data)
        if self._kept_size <= KEPT_MAX:
            self._kept.append(data)
        else:
            self.lost = True
            self._kept.clear()

    def begin(self) -> list[bytes]:
        """A new process has the session; returns what was kept for it."""
        self.fed = self.saved = 0
        self.lost = False
        kept, self._kept, self._kept_size = self._kept, [], 0
        return kept

    def process_died(self) -> None:
        """What was fed since the checkpoint is gone."""
        self.lost = self.lost or self.fed != self.saved

    def convict(self, now: float) -> Sentence:
        """The process died over this session."""
        self.lost = True
        self._kept.clear()
        if self.fed == 0:
            # Before a byte was fed: over the checkpoint itself.
            self.state = b""
        self._crashes.append(now)
        if len(self._crashes) < CRASHES_MAX or now - self._crashes[0] > CRASH_WINDOW:
            return Sentence.MERCY
        self._crashes.clear()
        if not self.strict:
            self.strict = True
            return Sentence.DIET
        self.failed, self.lost, self.state = True, False, b""
        return Sentence.NOTHING
