"""A session inside the screen process, with its filter, emulator, views and checkpoints."""

import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from ccvm_tui.guest import TermSize
from ccvm_tui.screen.views import View
from ccvm_tui.terminal.emulator import Emulator
from ccvm_tui.terminal.engine import EngineError
from ccvm_tui.terminal.links import LinkLimit
from ccvm_tui.terminal.tap import Tap

HOLD_MAX: Final = 0.15
"""Seconds after which a synchronized update (mode 2026) is drawn even if the program has not ended it."""

CHECKPOINT_INTERVAL: Final = 1.0
"""Seconds between two checkpoints, unless there was much output."""

CHECKPOINT_BYTES: Final = 4 << 20
"""Bytes of output after which a checkpoint does not wait for the interval."""

CHECKPOINT_SHARE: Final = 100
"""Multiple of a checkpoint's duration that passes before the next one, so that they use at most 1 % of a processor."""

_END_OF_UPDATE: Final = b"\x1b[?2026l"


class ScreenSession:
    """The state of one session.

    ``feed`` and ``resize`` change the screen, ``due`` and ``frames`` update the views, and ``checkpoint`` encodes the
    state. Times are seconds of a monotonic clock. ``strict`` and ``filtered`` configure the filter in front of the
    emulator; see ``messages.Open``.
    """

    def __init__(self, name: str, emulator: Emulator, *, strict: bool = False, filtered: bool = True) -> None:
        self.name = name
        self.emulator = emulator
        self.views: dict[str, View] = {}
        self.fed = 0
        """Bytes of output that were fed."""
        self._filtered = filtered
        self._tap = Tap(emulator.outbox, LinkLimit(emulator), strict=strict, linked=emulator.links)
        self._version = 0
        self._update_since: float | None = None
        self._saved_version = 0
        self._saved_at = float("-inf")
        self._saved_fed = 0
        self._cost = 0.0

    def feed(self, data: bytes, now: float, show: Callable[["ScreenSession"], None]) -> None:
        """Interpret output of the program.

        ``show`` is called after the end of a synchronized update, when the screen is complete and ``frames`` should be
        sent.
        """
        self.fed += len(data)
        pieces: Iterable[bytes] = self._tap.feed(data) if self._filtered else (data,)
        for piece in pieces:
            self._interpret(piece, now, show)

    def _interpret(self, data: bytes, now: float, show: Callable[["ScreenSession"], None]) -> None:
        self.emulator.links = self._tap.links_seen
        end = data.rfind(_END_OF_UPDATE)
        if end >= 0 and self.views:
            # Show the screen here, because the rest of the data may begin the next update.
            end += len(_END_OF_UPDATE)
            self._write(data[:end], now)
            show(self)
            data = data[end:]
        if data:
            self._write(data, now)

    def _write(self, data: bytes, now: float) -> None:
        self.emulator.feed(data)
        self._version += 1
        if not self.emulator.in_update:
            self._update_since = None
        elif self._update_since is None:
            self._update_since = now

    @property
    def pending(self) -> bytes:
        """The output that the emulator has not interpreted yet."""
        return self._tap.pending

    def resize(self, size: TermSize) -> None:
        """Change the size of the screen."""
        self.emulator.resize(size)
        self._version += 1

    def due(self) -> float | None:
        """Return the time of the next frame of any view, or None if no view waits for a frame."""
        times = [time for view in self.views.values() if (time := view.due(self._version)) is not None]
        if not times:
            return None
        if self._update_since is not None:
            return max(min(times), self._update_since + HOLD_MAX)
        return min(times)

    def frames(self, now: float) -> Iterator[tuple[str, bytes]]:
        """Yield the names of the views whose next frame is due, and the frames."""
        due = self.due()
        if due is None or due > now:
            return
        changed = self.emulator.refresh()
        for view in self.views.values():
            view.invalidate(changed)
        for view in self.views.values():
            time = view.due(self._version)
            if time is not None and time <= now:
                data = view.take(self.emulator, self._version, now)
                if data is not None:
                    yield view.name, data

    def last_frames(self, now: float) -> Iterator[tuple[str, bytes]]:
        """Yield the last frame of every view that has not seen the newest state, whether the view is ready or not."""
        changed = self.emulator.refresh()
        for view in self.views.values():
            view.invalidate(changed)
            data = view.take(self.emulator, self._version, now)
            if data is not None:
                yield view.name, data

    def checkpoint_due(self) -> float | None:
        """Return the time of the next checkpoint, or None if the state has not changed since the last one."""
        if self._version == self._saved_version:
            return None
        if self.fed - self._saved_fed >= CHECKPOINT_BYTES:
            return self._saved_at + CHECKPOINT_SHARE * self._cost
        return self._saved_at + max(CHECKPOINT_INTERVAL, CHECKPOINT_SHARE * self._cost)

    def checkpoint(self, clock: Callable[[], float]) -> bytes | None:
        """Return the deflated state, or None if the library cannot encode it."""
        started = clock()
        try:
            state: bytes | None = zlib.compress(self.emulator.snapshot(), 1)
        except EngineError:
            state = None
        self._saved_at = clock()
        self._cost = self._saved_at - started
        self._saved_version, self._saved_fed = self._version, self.fed
        return state
