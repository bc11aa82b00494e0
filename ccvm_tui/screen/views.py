"""Views of a session, and the pace of their frames.

A view gets its next frame only after it has acknowledged the last one, and at most ``RATE`` frames a second. The first
frame after a pause is sent at once. Meanwhile changes are recorded as row numbers and not as frames, so a slow view
costs no memory and always gets the newest state.
"""

from typing import Final, Protocol

from ccvm_tui.guest import TermSize
from ccvm_tui.terminal.cells import encode_frame
from ccvm_tui.terminal.emulator import Emulator
from ccvm_tui.terminal.window import Window

RATE: Final = 60
"""Frames per second, at most."""

INTERVAL: Final = 1 / RATE
"""Seconds between two frames of a view, at least."""


class View(Protocol):
    """A view of a session, identified by ``name``."""

    name: str

    def due(self, version: int) -> float | None:
        """Return the time of the next frame, or None if the view is not ready or has seen this version."""
        ...

    def invalidate(self, changed: set[int] | None) -> None:
        """Mark rows as changed; None means all rows."""
        ...

    def take(self, emulator: Emulator, version: int, now: float) -> bytes | None:
        """Return the data to send to the view, or None if nothing has changed for it."""
        ...

    def acknowledged(self) -> None:
        """Handle an acknowledgement: the view is ready for its next frame."""
        ...


class _Paced:
    """Acknowledgement, pace and changed rows, which all views have."""

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

    def invalidate(self, changed: set[int] | None) -> None:
        if changed is None or self._changed is None:
            self._changed = None
        else:
            self._changed |= changed

    def acknowledged(self) -> None:
        self._ready = True

    def _take_changes(self, version: int) -> set[int] | None:
        changed, self._changed = self._changed, set()
        self._seen = version
        return changed

    def _mark_sent(self, now: float) -> None:
        self._ready = False
        self._sent = now


class FrameView(_Paced):
    """A view whose client draws cells and gets frames encoded as msgpack."""

    def __init__(self, name: str, session: str) -> None:
        super().__init__(name)
        self._session = session
        self._seq = 0
        self._around: tuple[object, ...] = ()

    def take(self, emulator: Emulator, version: int, now: float) -> bytes | None:
        """Return an encoded frame, or None if nothing has changed."""
        frame = emulator.frame(self._session, self._seq + 1, self._take_changes(version))
        around = (frame.cursor, frame.modes, frame.history, frame.top, frame.title, frame.colours)
        if not frame.full and not frame.lines and around == self._around:
            return None
        self._around = around
        self._seq += 1
        self._mark_sent(now)
        return encode_frame(frame)


class WindowView(_Paced):
    """A view for a terminal of another size, which gets VT bytes that draw the part of the screen that fits."""

    def __init__(self, name: str, size: TermSize) -> None:
        super().__init__(name)
        self._window = Window(size)

    def take(self, emulator: Emulator, version: int, now: float) -> bytes | None:
        """Return VT bytes, or None if nothing visible has changed."""
        data = self._window.draw(emulator, self._take_changes(version))
        if not data:
            return None
        self._mark_sent(now)
        return data
