"""Progress of a build, estimated from the durations of the phases of earlier builds."""

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
    "fetch": 30,
    "unpack": 5,
    "publish": 1,
    "layer": 6,
    "fetch runtime": 10,
    "runtime": 12,
}
"""The phases in order, with their default durations in seconds."""

_DESCRIPTIONS = {
    "index": "reading the package lists",
    "download": "downloading packages",
    "extract": "unpacking the base system",
    "essential": "setting up the base system",
    "install": "installing packages",
    "kernel": "preparing kernel and guest files",
    "squashfs": "packing the root file system",
    "initrd": "making the initrd",
    "fetch": "downloading the image",
    "unpack": "unpacking the image",
    "layer": "packing the agent",
    "fetch runtime": "downloading QEMU",
    "runtime": "unpacking QEMU",
    "publish": "checking and publishing",
}
_SETTLED = 1.0  # seconds of a phase after which its share predicts the rest
_MAX_PHASE_SHARE = 0.95
"""The share of its expected duration up to which a phase that takes longer is shown."""


@dataclass(frozen=True)
class Progress:
    """The progress of a build: ``fraction`` of the whole, 0 to 1, and the estimated ``remaining`` seconds."""

    phase: str
    fraction: float
    remaining: float
    detail: str = ""

    def __str__(self) -> str:
        text = f"{self.fraction:4.0%} {_DESCRIPTIONS.get(self.phase, self.phase)}"
        if self.detail:
            text += f" ({self.detail})"
        return f"{text}, about {self.remaining:.0f} s left" if self.remaining >= 1 else text


class Phases:
    """The phases of one build, whose progress is passed to ``report``.

    The file ``durations`` stores the durations of earlier builds.
    """

    def __init__(self, report: Callable[[Progress], None], durations: Path, phases: set[str]) -> None:
        self._report = report
        self._durations = durations
        self._expected = {**PHASES, **_stored(durations)}
        self._order = [phase for phase in PHASES if phase in phases]
        self._taken: dict[str, float] = {}
        self._phase = ""
        self._began = 0.0

    def begin(self, phase: str, detail: str = "") -> None:
        """Enter ``phase``. The current phase and earlier phases are ignored."""
        if phase != self._phase and phase not in self._taken:
            self._end()
            self._phase, self._began = phase, time.monotonic()
        self.tick(detail)

    def tick(self, detail: str = "", share: float | None = None) -> None:
        """Report the progress at the current time. ``share`` is that of the phase, from 0 to 1, if it is known."""
        if self._phase not in self._order:
            return
        elapsed = time.monotonic() - self._began
        here = self._order.index(self._phase)
        before = sum(self._expected[phase] for phase in self._order[:here])
        expected = self._expected[self._phase]
        if share and elapsed > _SETTLED:
            expected = elapsed / share
        after = sum(self._expected[phase] for phase in self._order[here + 1 :])
        done = before + min(elapsed, _MAX_PHASE_SHARE * expected)
        left = max(expected - elapsed, 0) + after
        self._report(Progress(self._phase, done / max(before + expected + after, 0.001), left, detail))

    def finish(self) -> None:
        """Report the end of the build and store the durations of its phases."""
        self._end()
        self._report(Progress("publish", 1.0, 0.0))
        known = {**_stored(self._durations), **self._taken}
        with contextlib.suppress(OSError):  # a missing estimate is no reason to fail
            self._durations.write_text(json.dumps(known))

    def _end(self) -> None:
        if self._phase:
            self._taken[self._phase] = round(time.monotonic() - self._began, 2)


def _stored(durations: Path) -> dict[str, float]:
    try:
        known = json.loads(durations.read_text())
        return {phase: float(known[phase]) for phase in PHASES if phase in known}
    except (OSError, ValueError, TypeError):
        return {}
