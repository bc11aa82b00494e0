"""The program server's framing: all bytes that Linux accepts are transmitted, and invalid data is rejected."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccvm_tui.image.guest.agent import program, wire

VALUE = st.binary(max_size=20).map(lambda value: value.replace(b"\0", b"?"))
NAME = st.binary(min_size=1, max_size=8).map(lambda name: name.replace(b"\0", b"?").replace(b"=", b"?"))
SIDE = st.integers(0, 65535)
KIND = st.sampled_from([wire.START, wire.INPUT, wire.END_OF_INPUT, wire.OUTPUT, wire.ENDED])


@given(
    st.lists(VALUE, max_size=6),
    st.lists(st.tuples(NAME, VALUE), max_size=4),
    st.none() | st.tuples(SIDE, SIDE, SIDE, SIDE),
)
def test_a_start_message_is_preserved_byte_for_byte(
    argv: list[bytes], env: list[tuple[bytes, bytes]], size: tuple[int, int, int, int] | None
) -> None:
    start = wire.Start.parse(wire.Start(b"s1", b"exec", argv, env, size).pack())
    assert (start.session, start.kind, start.argv, start.env, start.size) == (b"s1", b"exec", argv, env, size)


@given(st.lists(st.tuples(KIND, st.binary(max_size=60)), max_size=6), st.integers(1, 40))
def test_frames_survive_any_chunking(frames: list[tuple[bytes, bytes]], size: int) -> None:
    sent = b"".join(wire.frame(kind, body) for kind, body in frames)
    decoder = wire.Frames()
    received = [frame for at in range(0, len(sent), size) for frame in decoder.feed(sent[at : at + size])]
    assert received == frames


@given(st.binary(max_size=200))
def test_invalid_data_raises_only_wire_errors(data: bytes) -> None:
    for parse in (wire.Start.parse, wire.parse_number, wire.parse_size, wire.Frames().feed):
        try:
            parsed = parse(data)
        except wire.WireError:
            continue
        assert not isinstance(parsed, wire.Start) or parsed.pack().split(b"\0")[4:] == data.split(b"\0")[4:]


@given(st.lists(st.sampled_from([b"s1", b"exec", b"1", b"-1", b"2", b"80 24 0 0", b"", b"a", b"A=b"]), max_size=8))
def test_a_malformed_start_message_is_rejected_or_keeps_all_fields(fields: list[bytes]) -> None:
    try:
        start = wire.Start.parse(b"\0".join(fields))
        program.command(start)
    except wire.WireError:
        return
    assert len(start.argv) + len(start.env) == len(fields) - 4


@pytest.mark.parametrize(
    ("argv", "env"), [([b"a\0b"], []), ([], [(b"", b"x")]), ([], [(b"a=b", b"x")]), ([], [(b"a", b"\0")])]
)
def test_impossible_arguments_and_variables_are_rejected(argv: list[bytes], env: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(wire.WireError):
        wire.Start(b"s1", b"exec", argv, env, None).pack()


@given(SIDE, SIDE, SIDE, SIDE)
def test_sizes_and_numbers_are_preserved(columns: int, rows: int, width: int, height: int) -> None:
    assert wire.parse_size(wire.pack_size(columns, rows, width, height)) == (columns, rows, width, height)
    assert wire.parse_number(wire.number(columns)) == columns


def test_a_frame_that_is_too_long_is_rejected_before_it_is_complete() -> None:
    for kind, most in ((wire.START, wire.START_MAX), (wire.INPUT, 2 * wire.PIECE)):
        assert wire.Frames().feed(kind + most.to_bytes(4, "big")) == []
        with pytest.raises(wire.WireError):
            wire.Frames().feed(kind + (most + 1).to_bytes(4, "big"))
