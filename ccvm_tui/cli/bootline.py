"""The one line on stderr that shows how a boot goes on."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Sequence
from typing import TextIO

from ccvm_tui.guest import Phase

_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_TURN = 0.1
"""Seconds for each step of the spinner."""


class BootLine:
    """Drawn over and over on a terminal; elsewhere only the final line is printed."""

    def __init__(self, name: str, stream: TextIO | None = None) -> None:
        self._name = name
        self._stream = sys.stderr if stream is None else stream
        self._live = self._stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self._phases: Sequence[Phase] = ()
        self._began = time.time()
        self._note = ""
        self._turn = 0

    def update(self, began: float, phases: Sequence[Phase]) -> None:
        """``began`` is when the keeper started, in seconds since 1970; phases count from there."""
        self._began, self._phases = began, phases

    def note(self, text: str) -> None:
        """What happens where there are no phases yet; seen at once, however short it is."""
        self._note = text
        if self._live:
            self._draw_progress()

    async def spin(self) -> None:
        """Draw until cancelled."""
        if not self._live:
            return
        while True:
            self._draw_progress()
            self._turn += 1
            await asyncio.sleep(_TURN)

    def ready(self) -> None:
        """The last line: how long it took, and what of it where."""
        if not self._phases:
            self.clear()
            return
        ended = [phase for phase in self._phases if phase.ended >= 0]
        parts = ", ".join(f"{phase.name} {phase.ended - phase.started:.1f}" for phase in ended)
        self._draw(f"{self._name} is ready after {self._phases[-1].ended:.1f} s ({parts})")
        if self._live:
            self._stream.write("\n")
            self._stream.flush()

    def clear(self) -> None:
        if self._live:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def _draw_progress(self) -> None:
        self._draw(f"{_FRAMES[self._turn % len(_FRAMES)]} {self._name}  {self._progress()}")

    def _progress(self) -> str:
        now = time.time() - self._began
        spans = [(phase.name, (phase.ended if phase.ended >= 0 else now) - phase.started) for phase in self._phases]
        return " · ".join(f"{name} {max(span, 0):.1f}s" for name, span in spans) or self._note

    def _draw(self, text: str) -> None:
        if self._live:
            width = os.get_terminal_size(self._stream.fileno()).columns or 80
            self._stream.write("\r" + text[: width - 1] + "\x1b[K")
        else:
            self._stream.write(text + "\n")
        self._stream.flush()
