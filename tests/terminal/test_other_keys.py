"""modifyOtherKeys: the level that a program sets, and the encoding of keys."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccvm_tui.guest import TermSize
from ccvm_tui.terminal.cells import Modes
from ccvm_tui.terminal.emulator import Emulator
from ccvm_tui.terminal.input import InputParser
from ccvm_tui.terminal.keys import ALT, CTRL, SHIFT, Stroke, encode_key
from ccvm_tui.terminal.other_keys import OtherKeys
from ccvm_tui.terminal.restore import restore_bytes

OUTPUT = st.lists(
    st.sampled_from([b"\x1b[>4;1m", b"\x1b[>4;2m", b"\x1b[>4m", b"\x1b[>4;0m", b"\x1b[>4n", b"\x1b[>m", b"\x1b[>1;2m",
                     b"\x1bc", b"\x1b[!p", b"text", b"\x1b[1m", b"\x1b", b"\x1b[", b"\x1b[>", b"\xc3\xa4"])
).map(b"".join)  # fmt: skip


@given(OUTPUT, st.lists(st.integers(1, 9), min_size=1))
def test_the_level_does_not_depend_on_how_the_output_is_cut(output: bytes, cuts: list[int]) -> None:
    whole, pieces = OtherKeys(), OtherKeys()
    whole.feed(output)
    at, turn = 0, 0
    while at < len(output):
        size = cuts[turn % len(cuts)]
        pieces.feed(output[at : at + size])
        at, turn = at + size, turn + 1
    assert pieces.level == whole.level


@pytest.mark.parametrize(
    ("output", "level"),
    [
        (b"\x1b[>4;1m", 1),
        (b"\x1b[>4;2m", 2),
        (b"\x1b[>4;1m\x1b[>4m", 0),
        (b"\x1b[>4;2m\x1b[>4n", 0),
        (b"\x1b[>4;2m\x1b[>m", 0),
        (b"\x1b[>4;1m\x1b[>1;2m", 1),
        (b"\x1b[>4;2m\x1bc", 0),
    ],
)
def test_levels_are_tracked_and_restored(output: bytes, level: int) -> None:
    emulator = Emulator(TermSize(20, 4))
    emulator.feed(output)
    assert emulator.modes().other_keys == level
    assert (b"4;2m" in emulator.pen().keyboard) == (level == 2)  # the library agrees
    again = Emulator(TermSize(20, 4))
    again.feed(restore_bytes(emulator, 0))
    assert again.modes().other_keys == level


def test_level_2_is_part_of_a_snapshot() -> None:
    emulator = Emulator(TermSize(20, 4))
    emulator.feed(b"\x1b[>4;2m")
    assert Emulator.restore(emulator.snapshot()).modes().other_keys == 2


@pytest.mark.parametrize(
    ("stroke", "none", "first", "second"),
    [
        (Stroke("enter"), b"\r", b"\r", b"\r"),
        (Stroke("enter", SHIFT), b"\r", b"\x1b[27;2;13~", b"\x1b[27;2;13~"),
        (Stroke("enter", CTRL), b"\r", b"\x1b[27;5;13~", b"\x1b[27;5;13~"),
        (Stroke("enter", ALT), b"\x1b\r", b"\x1b[27;3;13~", b"\x1b[27;3;13~"),
        (Stroke("tab", SHIFT), b"\x1b[Z", b"\x1b[Z", b"\x1b[Z"),
        (Stroke("tab", CTRL), b"\t", b"\x1b[27;5;9~", b"\x1b[27;5;9~"),
        (Stroke("escape", ALT), b"\x1b\x1b", b"\x1b\x1b", b"\x1b[27;3;27~"),
        (Stroke("backspace", CTRL), b"\x08", b"\x08", b"\x1b[27;5;127~"),
        (Stroke("i", CTRL), b"\t", b"\t", b"\x1b[27;5;105~"),
        (Stroke("m", CTRL), b"\r", b"\r", b"\x1b[27;5;109~"),
        (Stroke("[", CTRL), b"\x1b", b"\x1b", b"\x1b[27;5;91~"),
        (Stroke("a", CTRL | SHIFT), b"\x01", b"\x1b[27;6;65~", b"\x1b[27;6;65~"),
        (Stroke("a", ALT), b"\x1ba", b"\x1ba", b"\x1b[27;3;97~"),
        (Stroke(";", CTRL), b";", b"\x1b[27;5;59~", b"\x1b[27;5;59~"),
        (Stroke("a", SHIFT, "A"), b"A", b"A", b"A"),
        (Stroke(" ", SHIFT, " "), b" ", b" ", b"\x1b[27;2;32~"),
        (Stroke("ä", CTRL), "ä".encode(), b"\x1b[27;5;228~", b"\x1b[27;5;228~"),
        (Stroke("up", CTRL), b"\x1b[1;5A", b"\x1b[1;5A", b"\x1b[1;5A"),
    ],
)
def test_keys_at_every_level(stroke: Stroke, none: bytes, first: bytes, second: bytes) -> None:
    assert [encode_key(stroke, Modes(other_keys=level)) for level in (0, 1, 2)] == [none, first, second]
    assert encode_key(stroke, Modes(kitty=1, other_keys=2)) == encode_key(stroke, Modes(kitty=1))


@given(
    st.sampled_from(["enter", "tab", "escape", "backspace", *"abcimz059;[]/ö"]),
    st.integers(0, 7).filter(lambda held: held & (ALT | CTRL)),
)
def test_encoded_keys_are_parsed_back(key: str, held: int) -> None:
    (stroke,) = InputParser().feed(encode_key(Stroke(key, held), Modes(other_keys=2)))
    assert isinstance(stroke, Stroke)
    assert stroke.modifiers == held
    if not held & SHIFT:
        assert stroke.key == key
