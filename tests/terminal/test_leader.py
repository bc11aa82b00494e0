"""The leader key."""

from __future__ import annotations

import pytest

from ccvm_tui.terminal.keys import ALT, CTRL, RELEASE, REPEAT, SHIFT, Stroke
from ccvm_tui.terminal.leader import Decision, Leader, Verdict, config_name

LEADER = Stroke("\\", CTRL)
ESCAPE = Stroke("escape")


def typed(character: str) -> Stroke:
    return Stroke(character, text=character)


@pytest.fixture
def leader() -> Leader:
    return Leader("ctrl-\\", {"d": "detach", "?": "help"})


def test_keys_are_for_the_program_until_the_leader(leader: Leader) -> None:
    for stroke in (typed("a"), typed("d"), ESCAPE, Stroke("c", CTRL), Stroke("f1")):
        assert leader.feed(stroke).verdict is Verdict.NOT_OURS
    assert leader.feed(LEADER).verdict is Verdict.ARMED
    assert leader.feed(typed("d")) == Decision(Verdict.ACTION, "detach")
    assert leader.feed(typed("d")).verdict is Verdict.NOT_OURS


def test_the_leader_twice_is_literal(leader: Leader) -> None:
    leader.feed(LEADER)
    assert leader.feed(LEADER).verdict is Verdict.LITERAL
    assert not leader.armed


def test_modifiers_releases_and_repeats_are_ignored(leader: Leader) -> None:
    leader.feed(LEADER)
    for stroke in (Stroke("left_shift", SHIFT), Stroke("\\", CTRL, "", RELEASE), Stroke("\\", CTRL, "", REPEAT)):
        assert leader.feed(stroke).verdict is Verdict.IGNORED
    assert leader.feed(Stroke("/", SHIFT, "?")) == Decision(Verdict.ACTION, "help")


def test_escape_cancels_and_digits_are_numbers(leader: Leader) -> None:
    leader.feed(LEADER)
    assert leader.feed(ESCAPE).verdict is Verdict.CANCELLED
    leader.feed(LEADER)
    assert leader.feed(typed("7")) == Decision(Verdict.ACTION, "number", 7)
    leader.feed(LEADER)
    assert leader.feed(typed("y")) == Decision(Verdict.UNKNOWN, "y")


def test_leader_and_keys_can_be_configured() -> None:
    leader = Leader("ctrl-b", {"ctrl-d": "detach", "f5": "zoom"})
    assert leader.feed(LEADER).verdict is Verdict.NOT_OURS
    leader.feed(Stroke("b", CTRL))
    assert leader.feed(Stroke("d", CTRL)).action == "detach"
    leader.feed(Stroke("b", CTRL))
    assert leader.feed(Stroke("f5")).action == "zoom"


@pytest.mark.parametrize(
    ("stroke", "name"),
    [(typed("a"), "a"), (Stroke("/", SHIFT, "?"), "?"), (LEADER, "ctrl-\\"), (typed(" "), "space"), (ESCAPE, "esc"),
     (Stroke("tab"), "tab"), (Stroke("tab", SHIFT), ""), (Stroke("a", CTRL | ALT), "ctrl-alt-a")],
)  # fmt: skip
def test_strokes_have_the_names_of_the_configuration(stroke: Stroke, name: str) -> None:
    assert config_name(stroke) == name
