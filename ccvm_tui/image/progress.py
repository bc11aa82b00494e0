"""How far a build is: phases whose lengths are remembered from the build before."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

PHASES: dict[str, float] = {
    "index": 4,
    "download": 8,
    "extract": 6,
    "essential": 8,
    "install": 20,
    "kernel": 5,
    "squashfs": 5,
    "initrd": 2,
    "publish": 1,
    "layer": 6,
    "runtime": 12,
}
"""The phases in their order, with the seconds that each takes as long as nothing better is known."""

_WORDS = {
    "index": "reading the package lists",
    "download": "downloading packages",
    "extract": "unpacking the base system",
    "essential": "setting up the base system",
    "install": "installing packages",
    "kernel": "preparing kernel and guest files",
    "squashfs": "packing the root file system",
    "initrd": "making the initrd",
    "layer": "packing the agent",
    "runtime": "unpacking QEMU",
    "publish": "checking and publishing",
}
_NEARLY = 0.95


@dataclass(frozen=True)
class Progress:
    """``fraction`` is of the whole build, 0 to 1; ``remaining`` an estimate in seconds."""

    phase: str
    fraction: float
    remaining: float
    detail: str = ""

    def __str__(self) -> str:
        text = f"{self.fraction:4.0%} {_WORDS.get(self.phase, self.phase)}"
        if self.detail:
            text += f" ({self.detail})"
        return f"{text}, about {self.remaining:.0f} s left" if self.remaining >= 1 else text


class Phases:
    """Follows one build and tells ``report`` of it. ``memory`` is the file that holds earlier durations."""

    def __init__(self, report: Callable[[Progress], None], memory: Path, phases: set[str]) -> None:
        self._report = report
        self._memory = memory
        self._expected = {**PHASES, **_remembered(memory)}
        self._order = [phase for phase in PHASES if phase in phases]
        self._taken: dict[str, float] = {}
        self._phase = ""
        self._began = 0.0

    def begin(self, phase: str, detail: str = "") -> None:
        """Enter ``phase``. Beginning the phase that is under way, or one that has passed, changes nothing."""
        if phase != self._phase and phase not in self._taken:
            self._end()
            self._phase, self._began = phase, time.monotonic()
        self.tick(detail)

    def tick(self, detail: str = "") -> None:
        """Report again: time has passed."""
        if self._phase not in self._order:
            return
        elapsed = time.monotonic() - self._began
        here = self._order.index(self._phase)
        before = sum(self._expected[phase] for phase in self._order[:here])
        expected = self._expected[self._phase]
        after = sum(self._expected[phase] for phase in self._order[here + 1 :])
        done = before + min(elapsed, _NEARLY * expected)
        left = max(expected - elapsed, 0) + after
        self._report(Progress(self._phase, done / max(before + expected + after, 0.001), left, detail))

    def finish(self) -> None:
        """The build is done: report it and remember what each phase took."""
        self._end()
        self._report(Progress("publish", 1.0, 0.0))
        known = {**_remembered(self._memory), **self._taken}
        with contextlib.suppress(OSError):  # an estimate less is no reason to fail
            self._memory.write_text(json.dumps(known))

    def _end(self) -> None:
        if self._phase:
            self._taken[self._phase] = round(time.monotonic() - self._began, 2)


def _remembered(memory: Path) -> dict[str, float]:
    try:
        known = json.loads(memory.read_text())
        return {phase: float(known[phase]) for phase in PHASES if phase in known}
    except (OSError, ValueError, TypeError):
        return {}
