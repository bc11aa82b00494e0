"""Scrolling while a selection is dragged beyond the edge of a widget."""

from __future__ import annotations

from collections.abc import Callable

from textual.timer import Timer

INTERVAL = 0.05
"""Seconds between two lines. A mouse that is not moved reports nothing."""


class EdgeScroll:
    """The timer that calls ``step`` with the direction while the pointer is above (-1) or below (1) the widget.

    ``set_interval`` is that of the widget.
    """

    def __init__(self, set_interval: Callable[[float, Callable[[], None]], Timer], step: Callable[[int], None]) -> None:
        self._set_interval = set_interval
        self._step = step
        self._timer: Timer | None = None
        self._direction = 0

    def turn(self, direction: int) -> None:
        """Scroll in a direction from now on, beginning at once; or stop if the direction is 0."""
        if direction == self._direction:
            return
        self.stop()
        self._direction = direction
        if direction:
            self._timer = self._set_interval(INTERVAL, self._tick)
            self._tick()

    def stop(self) -> None:
        """Stop scrolling."""
        self._direction = 0
        if self._timer is not None:
            self._timer.stop()
            self._timer = None

    def _tick(self) -> None:
        self._step(self._direction)
