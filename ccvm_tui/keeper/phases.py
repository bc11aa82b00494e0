"""The phases of a boot, and how long they took."""

from __future__ import annotations

import time

from ccvm_tui.guest import Phase


class Phases:
    """The phases so far. Times are seconds since the creation of this object."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._phases: list[Phase] = []

    @property
    def elapsed(self) -> float:
        """The seconds since the creation of this object."""
        return time.monotonic() - self._start

    def begin(self, name: str) -> None:
        """End the current phase, and start the phase ``name`` unless it is empty."""
        now = self.elapsed
        if self._phases and self._phases[-1].ended < 0:
            last = self._phases[-1]
            self._phases[-1] = Phase(last.name, last.started, now)
        if name:
            self._phases.append(Phase(name, now))

    def all(self) -> tuple[Phase, ...]:
        """Return the phases in their order."""
        return tuple(self._phases)
