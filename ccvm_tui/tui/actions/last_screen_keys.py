"""The keys that are available once a session has ended, while its last screen is shown."""

from __future__ import annotations

from ccvm_tui.terminal.keys import PRESS, Stroke
from ccvm_tui.tui.actions.table import CLOSE_ENDED, RUN_AGAIN, Action
from ccvm_tui.tui.model.key_names import key_name

LAST_SCREEN_KEYS = {
    "enter": CLOSE_ENDED, "escape": CLOSE_ENDED, "q": CLOSE_ENDED, "space": CLOSE_ENDED, "ctrl+c": CLOSE_ENDED,
    "r": RUN_AGAIN,
}  # fmt: skip

REACTION_TIME = 0.5
"""Seconds after the end during which keys are ignored, because they were meant for the program."""


class LastScreenKeys:
    """The keys of a session that ended at ``ended``, a time of the monotonic clock in seconds.

    The first action leaves the last screen. Keys after it are ignored.
    """

    def __init__(self, ended: float) -> None:
        self._available_from = ended + REACTION_TIME
        self._left = False

    def available(self, now: float) -> bool:
        """Return whether keys are handled at the time ``now``."""
        return now > self._available_from and not self._left

    def action_for(self, stroke: Stroke, now: float) -> Action | None:
        """Return the action of a key, or None if it has none."""
        if not self.available(now) or stroke.action != PRESS:
            return None
        action = LAST_SCREEN_KEYS.get(key_name(stroke))
        self._left = action is not None
        return action
