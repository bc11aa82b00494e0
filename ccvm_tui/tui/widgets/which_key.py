"""The leader and the keys after it, which are shown if no key follows the leader."""

from __future__ import annotations

from rich.text import Text
from textual import events
from textual.timer import Timer
from textual.widgets import Static

from ccvm_tui.config import Keys
from ccvm_tui.terminal.keys import Stroke
from ccvm_tui.terminal.leader import Decision, Leader, Verdict
from ccvm_tui.tui.actions.table import Action, leader_actions, leader_keys
from ccvm_tui.tui.terminal_io.app import inks_of
from ccvm_tui.tui.widgets.controls import ActionRequested

COLUMN = 38
"""The width of a column in cells."""


DELAY = 0.5
"""Seconds after the leader until the keys are shown."""


class WhichKey(Static):
    """The state of the leader, and a panel with the keys in columns. A click on a key requests its action."""

    DEFAULT_CSS = """
    WhichKey {
        layer: above; dock: bottom; height: auto; width: 1fr; margin-bottom: 1; padding: 0 2;
        background: $panel; border-top: solid $line; display: none;
    }
    WhichKey.-shown { display: block; }
    """

    def __init__(self, leader: str, keys: Keys, *, id: str | None = None) -> None:
        super().__init__("", id=id, markup=False)
        self._machine = Leader(leader, leader_actions(keys))
        self._entries = leader_keys(leader, keys)
        self._actions: list[list[Action | None]] = []
        self._delay_timer: Timer | None = None

    @property
    def leader_stroke(self) -> Stroke:
        """The leader itself."""
        return self._machine.leader_stroke

    def feed(self, stroke: Stroke) -> Decision:
        """Return what a key means: it is for a session, or it is the leader, or it follows the leader."""
        decision = self._machine.feed(stroke)
        if decision.verdict is Verdict.ARMED:
            self._delay_timer = self.set_timer(DELAY, self.open)
        elif decision.verdict not in (Verdict.NOT_OURS, Verdict.IGNORED):
            self.close()
        return decision

    def open(self) -> None:
        """Show the panel, and expect a key as after the leader."""
        self._machine.armed = True
        inks = inks_of(self)
        columns = max(1, max(40, self.app.size.width - 4) // COLUMN)
        rows = -(-len(self._entries) // columns)
        text = Text()
        self._actions = []
        for row in range(rows):
            line = self._entries[row::rows]
            for key, title, _ in line:
                text.append(f"{key:>8} ", inks.ink("accent", "panel", bold=True))
                text.append(f"{title[: COLUMN - 11]:<{COLUMN - 9}}", inks.ink("foreground", "panel"))
            self._actions.append([action for *_, action in line])
            text.append("\n" if row < rows - 1 else "")
        self.update(text)
        self.add_class("-shown")

    def close(self) -> None:
        """Hide the panel, and expect no key after the leader."""
        self._machine.armed = False
        if self._delay_timer is not None:
            self._delay_timer.stop()
            self._delay_timer = None
        self.remove_class("-shown")

    def on_click(self, event: events.Click) -> None:
        """Request the action under the pointer."""
        event.stop()
        row, column = int(event.y) - 1, (int(event.x) - 2) // COLUMN
        if 0 <= row < len(self._actions) and 0 <= column < len(self._actions[row]):
            action = self._actions[row][column]
            if action is not None:
                self.post_message(ActionRequested(action))
