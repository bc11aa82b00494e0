"""The leader's second key, from the config.

`LeaderKeys` is a pure state machine over strokes; the clock for the popup is the screen's.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from ccvm_tui.terminal.keys import ALT, CTRL, LOCKS, RELEASE, REPEAT, SHIFT
from ccvm_tui.tui.strokes import MODIFIER_KEYS, Stroke, stroke_of


@dataclass(frozen=True, slots=True)
class Binding:
    """The name of an action, and its key after the leader as the config spells it."""

    action: str
    key: str


def config_name(stroke: Stroke) -> str:
    """The stroke as the config spells it: ``d``, ``?``, ``ctrl-w``, ``space``, ``esc``. Empty if it has no name."""
    held = stroke.modifiers & ~LOCKS
    if held & ~(SHIFT | ALT | CTRL):
        return ""
    if not held & ~SHIFT and len(stroke.text) == 1:
        key = stroke.text
    elif held & SHIFT and len(stroke.key) == 1 and stroke.shifted:
        key = chr(stroke.shifted)
    else:
        key = stroke.key
    key = {" ": "space", "escape": "esc"}.get(key, key)
    return ("ctrl-" if held & CTRL else "") + ("alt-" if held & ALT else "") + key


class Verdict(Enum):
    """What a stroke is to the leader machine."""

    NOT_OURS = "not ours"
    ARMED = "armed"
    CANCELLED = "cancelled"
    LITERAL = "literal"
    UNKNOWN = "unknown"
    ACTION = "action"
    IGNORED = "ignored"


@dataclass(frozen=True, slots=True)
class Decision:
    verdict: Verdict
    action: str = ""
    number: int = 0


class LeaderKeys:
    def __init__(self, leader: str, bindings: tuple[Binding, ...]) -> None:
        self.leader = leader
        self.bindings = bindings
        self._actions = {binding.key: binding.action for binding in bindings}
        self._leader_stroke = stroke_of(leader)
        self.armed = False

    @property
    def leader_stroke(self) -> Stroke:
        return self._leader_stroke

    def feed(self, stroke: Stroke) -> Decision:
        if stroke.key in MODIFIER_KEYS:
            return Decision(Verdict.IGNORED if self.armed else Verdict.NOT_OURS)
        is_leader = self._is_leader(stroke)
        if not self.armed:
            if is_leader and stroke.action != RELEASE:
                self.armed = True
                return Decision(Verdict.ARMED)
            return Decision(Verdict.IGNORED if is_leader else Verdict.NOT_OURS)
        if stroke.action == RELEASE or (is_leader and stroke.action == REPEAT):
            return Decision(Verdict.IGNORED)
        self.armed = False
        if is_leader:
            return Decision(Verdict.LITERAL)
        name = config_name(stroke)
        if name in self._actions:
            return Decision(Verdict.ACTION, self._actions[name])
        if len(name) == 1 and name in "123456789":
            return Decision(Verdict.ACTION, "number", int(name))
        if name == "esc":
            return Decision(Verdict.CANCELLED)
        return Decision(Verdict.UNKNOWN, name)

    def _is_leader(self, stroke: Stroke) -> bool:
        """By the name, or by the control character that a plain terminal would send for it."""
        if config_name(stroke) == self.leader:
            return True
        mine, theirs = self._leader_stroke.character, stroke.character
        return mine is not None and mine < " " and mine == theirs and not stroke.text
