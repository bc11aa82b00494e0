"""One session inside the screen process: its filter, its emulator, its views, its checkpoints."""

import zlib
from collections.abc import Callable, Iterator
from typing import Final

from ccvm_tui.guest import TermSize
from ccvm_tui.screen.views import View
from ccvm_tui.terminal.emulator import Emulator
from ccvm_tui.terminal.engine import EngineError
from ccvm_tui.terminal.links import LinkLimit
from ccvm_tui.terminal.tap import Tap

HOLD_MAX: Final = 0.15
"""Seconds for which a program may keep its screen undrawn with mode 2026."""

CHECKPOINT_INTERVAL: Final = 1.0
CHECKPOINT_BYTES: Final = 4 << 20
CHECKPOINT_SHARE: Final = 100
"""A checkpoint waits until this many times its own cost have passed, so that it takes 1 % of a processor at most."""

_END_OF_UPDATE: Final = b"\x1b[?2026l"


def _show_nothing(_: "ScreenSession") -> None:
    pass


class ScreenSession:
    """`feed` and `resize` change it; `due` and `frames` show it; `checkpoint` saves it."""

    def __init__(self, name: str, emulator: Emulator, *, strict: bool = False, filtered: bool = True) -> None:
        self.name = name
        self.emulator = emulator
        self.views: dict[str, View] = {}
        self.fed = 0
        self._filtered = filtered
        self._now = 0.0
        self._show: Callable[[ScreenSession], None] = _show_nothing
        self._tap = Tap(self._interpret, emulator.outbox, LinkLimit(emulator), strict=strict, linked=emulator.links)
        self._version = 0
        self._held_since: float | None = None
        self._saved_version = 0
        self._saved_at = float("-inf")
        self._saved_fed = 0
        self._cost = 0.0

    def feed(self, data: bytes, now: float, show: Callable[["ScreenSession"], None]) -> None:
        """Output of the program. `show` is called where a synchronized update ends and a view waits for a frame."""
        self.fed += len(data)
        self._now, self._show = now, show
        if self._filtered:
            self._tap.feed(data)
        else:
            self._interpret(data)

    def _interpret(self, data: bytes) -> None:
        self.emulator.links = self._tap.links_seen
        end = data.rfind(_END_OF_UPDATE)
        if end >= 0 and self.views:
            # The rest of the data may begin the next update: now or never is the screen whole.
            end += len(_END_OF_UPDATE)
            self._write(data[:end])
            self._show(self)
            data = data[end:]
        if data:
            self._write(data)

    def _write(self, data: bytes) -> None:
        self.emulator.feed(data)
        self._version += 1
        if not self.emulator.held:
            self._held_since = None
        elif self._held_since is None:
            self._held_since = self._now

    @property
    def pending(self) -> bytes:
        """Output that the emulator has not seen yet."""
        return self._tap.pending

    def resize(self, size: TermSize) -> None:
        self.emulator.resize(size)
        self._version += 1

    def due(self) -> float | None:
        """When the next frame of any view may go, in the clock's seconds; None while none waits."""
        times = [time for view in self.views.values() if (time := view.due(self._version)) is not None]
        if not times:
            return None
        if self._held_since is not None:
            return max(min(times), self._held_since + HOLD_MAX)
        return min(times)

    def frames(self, now: float) -> Iterator[tuple[str, bytes]]:
        """What to send to which view at this time."""
        due = self.due()
        if due is None or due > now:
            return
        changed = self.emulator.refresh()
        for view in self.views.values():
            view.stale(changed)
        for view in self.views.values():
            time = view.due(self._version)
            if time is not None and time <= now:
                data = view.take(self.emulator, self._version, now)
                if data is not None:
                    yield view.name, data

    def last_frames(self, now: float) -> Iterator[tuple[str, bytes]]:
        """What every view has not seen yet: nothing more will come that it could wait for."""
        changed = self.emulator.refresh()
        for view in self.views.values():
            view.stale(changed)
            data = view.take(self.emulator, self._version, now)
            if data is not None:
                yield view.name, data

    def checkpoint_due(self) -> float | None:
        """When to save the state, in the clock's seconds; None while the saved one is right."""
        if self._version == self._saved_version:
            return None
        if self.fed - self._saved_fed >= CHECKPOINT_BYTES:
            return self._saved_at + CHECKPOINT_SHARE * self._cost
        return self._saved_at + max(CHECKPOINT_INTERVAL, CHECKPOINT_SHARE * self._cost)

    def checkpoint(self, clock: Callable[[], float]) -> bytes | None:
        """The state, deflated; None when the library cannot encode it, which keeps the one before."""
        started = clock()
        try:
            state: bytes | None = zlib.compress(self.emulator.snapshot(), 1)
        except EngineError:
            state = None
        self._saved_at = clock()
        self._cost = self._saved_at - started
        self._saved_version, self._saved_fed = self._version, self.fed
        return state
