"""Views: who is shown a session, what of it they have not seen yet, and when they may see it.

A view gets its next frame only after it acknowledged the last one, and at most `RATE` times a second; the first
one after a pause goes at once. What changes meanwhile is remembered as row numbers, not as frames: however slow the
view is, it is sent the newest state and nothing else, and costs no memory.
"""

from typing import Final, Protocol

from ccvm_tui.guest import TermSize
from ccvm_tui.terminal.cells import encode_frame
from ccvm_tui.terminal.emulator import Emulator
from ccvm_tui.terminal.window import Window

RATE: Final = 60
INTERVAL: Final = 1 / RATE


class View(Protocol):
    """Somebody who is shown a session."""

    name: str

    def due(self, version: int) -> float | None:
        """When a frame of this state may go, in the clock's seconds, or None while the view is not ready."""
        ...

    def stale(self, changed: set[int] | None) -> None:
        """Rows changed; None means all of them."""
        ...

    def take(self, emulator: Emulator, version: int, now: float) -> bytes | None:
        """What to send, or None when the view has nothing to see in it."""
        ...

    def acknowledged(self) -> None:
        """The view is ready for more."""
        ...


class _Paced:
    """Credit and pace, common to all views."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._ready = True
        self._sent = float("-inf")
        self._seen = -1
        self._changed: set[int] | None = None

    def due(self, version: int) -> float | None:
        if not self._ready or version == self._seen:
            return None
        return self._sent + INTERVAL

    def stale(self, changed: set[int] | None) -> None:
        if changed is None or self._changed is None:
            self._changed = None
        else:
            self._changed |= changed

    def acknowledged(self) -> None:
        self._ready = True

    def _mark(self, version: int) -> set[int] | None:
        changed, self._changed = self._changed, set()
        self._seen = version
        return changed

    def _spend(self, now: float) -> None:
        self._ready = False
        self._sent = now


class FrameView(_Paced):
    """A view that draws cells itself and gets msgpack frames."""

    def __init__(self, name: str, session: str) -> None:
        super().__init__(name)
        self._session = session
        self._seq = 0
        self._around: tuple[object, ...] = ()

    def take(self, emulator: Emulator, version: int, now: float) -> bytes | None:
        frame = emulator.frame(self._session, self._seq + 1, self._mark(version))
        around = (frame.cursor, frame.modes, frame.history, frame.top, frame.title, frame.colours)
        if not frame.full and not frame.lines and around == self._around:
            return None
        self._around = around
        self._seq += 1
        self._spend(now)
        return encode_frame(frame)


class WindowView(_Paced):
    """A view for a terminal of another size: gets VT bytes that draw the part of the screen it can show."""

    def __init__(self, name: str, size: TermSize) -> None:
        super().__init__(name)
        self._window = Window(size)

    def take(self, emulator: Emulator, version: int, now: float) -> bytes | None:
        data = self._window.draw(emulator, self._mark(version))
        if not data:
            return None
        self._spend(now)
        return data
