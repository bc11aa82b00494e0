"""The leader's state machine."""

from __future__ import annotations

import pytest

from ccvm_tui.config import Keys
from ccvm_tui.terminal.keys import CTRL, RELEASE, REPEAT, SHIFT
from ccvm_tui.tui.actions.table import leader_actions
from ccvm_tui.tui.bindings import Binding, Decision, LeaderKeys, Verdict, config_name
from ccvm_tui.tui.strokes import Stroke, stroke_of


def machine(leader: str, keys: Keys) -> LeaderKeys:
    return LeaderKeys(leader, tuple(Binding(name, key) for key, name in leader_actions(keys).items()))


@pytest.fixture
def leader() -> LeaderKeys:
    return machine("ctrl-\\", Keys())


def test_keys_are_the_programs_until_the_leader(leader: LeaderKeys) -> None:
    for name in ("a", "d", "escape", "ctrl+c", "f1"):
        assert leader.feed(stroke_of(name)).verdict is Verdict.NOT_OURS
    assert leader.feed(stroke_of("ctrl+backslash")).verdict is Verdict.ARMED
    assert leader.feed(stroke_of("d")) == Decision(Verdict.ACTION, "detach")
    assert leader.feed(stroke_of("d")).verdict is Verdict.NOT_OURS


def test_twice_is_literal(leader: LeaderKeys) -> None:
    leader.feed(stroke_of("ctrl+backslash"))
    assert leader.feed(stroke_of("ctrl+backslash")).verdict is Verdict.LITERAL
    assert not leader.armed


def test_modifiers_releases_and_repeats_decide_nothing(leader: LeaderKeys) -> None:
    leader.feed(Stroke("\\", CTRL))
    for stroke in (Stroke("left_shift", SHIFT), Stroke("\\", CTRL, "", RELEASE), Stroke("\\", CTRL, "", REPEAT)):
        assert leader.feed(stroke).verdict is Verdict.IGNORED
    assert leader.feed(Stroke("/", SHIFT, "?")) == Decision(Verdict.ACTION, "help")


def test_escape_takes_it_back_and_numbers_choose(leader: LeaderKeys) -> None:
    leader.feed(stroke_of("ctrl+backslash"))
    assert leader.feed(stroke_of("escape")).verdict is Verdict.CANCELLED
    leader.feed(stroke_of("ctrl+backslash"))
    assert leader.feed(stroke_of("7")) == Decision(Verdict.ACTION, "number", 7)
    leader.feed(stroke_of("ctrl+backslash"))
    assert leader.feed(stroke_of("y")) == Decision(Verdict.UNKNOWN, "y")


def test_rebound() -> None:
    other = machine("ctrl-b", Keys(detach="ctrl-d", zoom="f5"))
    assert other.feed(stroke_of("ctrl+backslash")).verdict is Verdict.NOT_OURS
    other.feed(stroke_of("ctrl+b"))
    assert other.feed(stroke_of("ctrl+d")).action == "detach"
    other.feed(stroke_of("ctrl+b"))
    assert other.feed(stroke_of("f5")).action == "zoom"


@pytest.mark.parametrize(
    ("stroke", "name"),
    [(Stroke("a", 0, "a"), "a"), (Stroke("/", SHIFT, "?"), "?"), (Stroke("\\", CTRL), "ctrl-\\"), (Stroke(" ", 0, " "), "space"),
     (Stroke("escape"), "esc"), (Stroke("tab"), "tab"), (Stroke("a", CTRL | 2), "ctrl-alt-a")],
)  # fmt: skip
def test_names_of_the_config(stroke: Stroke, name: str) -> None:
    assert config_name(stroke) == name
