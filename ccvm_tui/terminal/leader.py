"""The leader key: the one key that is not passed on to the program, and the key after it, which selects an action.

``Leader`` works on strokes and has no clock. The caller decides how long the leader waits for the second key.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

from ccvm_tui.terminal.keys import ALT, CTRL, LOCKS, MODIFIER_KEYS, RELEASE, REPEAT, SHIFT, Stroke


def config_name(stroke: Stroke) -> str:
    """Return the name of a stroke in the configuration, such as ``d``, ``?``, ``ctrl-w``, ``space`` or ``esc``.

    The name is empty if the configuration has none for the stroke.
    """
    held = stroke.modifiers & ~LOCKS
    if held & ~(SHIFT | ALT | CTRL):
        return ""
    if not held & ~SHIFT and len(stroke.text) == 1:
        key = stroke.text
    elif held & SHIFT and len(stroke.key) > 1:
        return ""
    elif held & SHIFT and stroke.shifted:
        key = chr(stroke.shifted)
    else:
        key = stroke.key
    key = {" ": "space", "escape": "esc"}.get(key, key)
    return ("ctrl-" if held & CTRL else "") + ("alt-" if held & ALT else "") + key


def leader_stroke(name: str) -> Stroke:
    """Return the stroke of a leader's name in the configuration: ``ctrl-`` followed by a character or ``space``."""
    key = name.removeprefix("ctrl-")
    return Stroke(" " if key == "space" else key, CTRL)


class Verdict(Enum):
    """The meaning of a stroke."""

    NOT_OURS = auto()
    """The stroke is for the program."""
    ARMED = auto()
    """The stroke is the leader. The next key selects an action."""
    CANCELLED = auto()
    """The stroke is Escape after the leader."""
    LITERAL = auto()
    """The stroke is the leader after the leader, which sends the leader to the program."""
    UNKNOWN = auto()
    """The stroke after the leader is bound to no action."""
    ACTION = auto()
    """The stroke after the leader is bound to an action."""
    IGNORED = auto()
    """The stroke has no meaning, such as a modifier key after the leader."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The verdict on a stroke.

    ``action`` is the name of the action, or the key's name if it is unknown. ``number`` is the digit of the action
    ``number``.
    """

    verdict: Verdict
    action: str = ""
    number: int = 0


class Leader:
    """The state of the leader key.

    ``leader`` is its name in the configuration. ``actions`` maps the names of the keys that follow it to actions. The
    digits 1 to 9 select the action ``number``, unless they are bound to another. ``armed`` is true after the leader.
    """

    def __init__(self, leader: str, actions: Mapping[str, str]) -> None:
        self.leader = leader
        self.leader_stroke = leader_stroke(leader)
        self.armed = False
        self._actions = dict(actions)

    def feed(self, stroke: Stroke) -> Decision:
        """Decide on a stroke, and change the state."""
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
        """Compare the names, or the control characters, which are all that a terminal without a protocol reports."""
        if config_name(stroke) == self.leader:
            return True
        ours, theirs = self.leader_stroke.character, stroke.character
        return ours is not None and ours < " " and ours == theirs and not stroke.text
