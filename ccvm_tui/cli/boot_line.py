"""The line on standard error that shows the progress of a start."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from ccvm_tui.boot.start import Event, GuestChanged, ImageBuilding, KeeperStarting, Ready, Warned
from ccvm_tui.cli import output
from ccvm_tui.guest import Phase
from ccvm_tui.text import printable

_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_ASCII_FRAMES = "-\\|/"
_FRAME_TIME = 0.1
"""Seconds for each frame of the spinner."""


class BootLine:
    """A line that is redrawn on a terminal until the block ends. Elsewhere, only the last state is printed."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._stream = sys.stderr
        self._live = output.can_redraw(self._stream)
        self._frames = _FRAMES if output.can_encode(self._stream, _FRAMES) else _ASCII_FRAMES
        self._phases: Sequence[Phase] = ()
        self._began = time.time()
        self._note = ""
        self._frame = 0
        self._spinner: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        if self._live:
            self._spinner = asyncio.create_task(self._spin(), name="boot line")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._spinner is not None:
            self._spinner.cancel()
            self._clear()

    def show(self, event: Event) -> None:
        """Show an event of the start."""
        match event:
            case ImageBuilding(progress):
                self._show_note(f"image: {progress}")
            case KeeperStarting():
                self._show_note("starting")
            case GuestChanged(guest):
                self._began, self._phases = guest.started, guest.phases
            case Warned(text):
                self._clear()
                print(f"ccvm-tui: {printable(text)}", file=self._stream)
            case Ready(started=True) if self._phases:
                self._show_total()

    async def _spin(self) -> None:
        while True:
            self._draw_progress()
            self._frame += 1
            await asyncio.sleep(_FRAME_TIME)

    def _show_note(self, text: str) -> None:
        """Show what is happening before the first phase, immediately, however short it is."""
        self._note = text
        if self._live:
            self._draw_progress()

    def _show_total(self) -> None:
        ended = [phase for phase in self._phases if phase.ended >= 0]
        parts = ", ".join(f"{phase.name} {phase.ended - phase.started:.1f}" for phase in ended)
        self._draw(f"{self._name} is ready after {self._phases[-1].ended:.1f} s ({parts})")
        if self._live:
            self._stream.write("\n")
            self._stream.flush()

    def _draw_progress(self) -> None:
        self._draw(f"{self._frames[self._frame % len(self._frames)]} {self._name}  {self._progress()}")

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

    def _clear(self) -> None:
        if self._live:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
