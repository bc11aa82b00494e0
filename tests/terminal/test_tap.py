"""The filter in front of the emulator: interpreted, passed and dropped strings, independent of how the output is cut."""

from __future__ import annotations

import itertools
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccvm_tui.terminal.callbacks import Outbox
from ccvm_tui.terminal.events import LinksDropped, Notification, PromptMark, TermEvent
from ccvm_tui.terminal.links import LINKED_MAX, LinkLimit
from ccvm_tui.terminal.tap import LINK_MAX, STRING_MAX, Tap

OPEN = b"\x1b]8;;http://a/b\x1b\\"
CLOSE = b"\x1b]8;;\x1b\\"


class Screen:
    """A screen that reports a given number of linked cells."""

    def __init__(self, linked: int = 0) -> None:
        self.linked = linked

    def linked_cells(self) -> int:
        return self.linked

    def linked_history(self, _: int) -> int:
        return 0

    def position(self) -> tuple[int, int]:
        return 0, 0

    def columns(self) -> int:
        return 80


class Sink:
    """A filter, and the output, replies and events that it has produced."""

    def __init__(self, *, strict: bool = False, linked: int = 0) -> None:
        self.data = bytearray()
        self.outbox = Outbox()
        self.tap = Tap(self.outbox, LinkLimit(Screen(linked)), strict=strict)
        self.answers = b""
        self.events: list[TermEvent] = []

    def feed(self, *pieces: bytes) -> bytes:
        for piece in pieces:
            for data in self.tap.feed(piece):
                self.data += data
            self.answers += self.outbox.take_answers()
            self.events += self.outbox.take_events()
        return bytes(self.data)


PARTS = [
    b"text", b"\x1b[31m", b"\x1b[5b", b"\x1b[", b"\x1b", b"]", b"8", b";", b"http://a", b"\x07", b"\x1b\\", b"\\",
    b"\x18", b"\x1a", b"\x00", b"\x7f", b"\r\n", b"\x1bP", b"+q", b"544e", b"\x1b]99;", b"i=1:d=0;", b"hello",
    b"\x1b]133;D;3\x07", b"\x1b]133;A\x1b\\", b"\x1b]0;t\x07", b"\x1b_G", b"\x1b]52;c;AAAA", b"\x1b(B", b"\x1b#8",
    OPEN, CLOSE, b"\x1b]8;id=1;http://c\x07", "漢é".encode(), b"\xe6", b"x" * 700, b"\x1b]8;;" + b"u" * 9000,
]  # fmt: skip
streams = st.one_of(
    st.lists(st.sampled_from(PARTS), max_size=40).map(b"".join),
    st.lists(st.one_of(st.sampled_from(PARTS), st.binary(max_size=6)), max_size=30).map(b"".join),
)


@settings(max_examples=400, deadline=None)
@given(streams, st.lists(st.integers(0, 3000), max_size=20), st.booleans(), st.sampled_from([0, LINKED_MAX + 1]))
def test_the_result_does_not_depend_on_how_the_output_is_cut(
    stream: bytes, cuts: list[int], strict: bool, linked: int
) -> None:
    whole = Sink(strict=strict, linked=linked)
    whole.feed(stream)
    bounds = sorted({min(cut, len(stream)) for cut in cuts} | {0, len(stream)})
    pieces = Sink(strict=strict, linked=linked)
    pieces.feed(*(stream[start:end] for start, end in itertools.pairwise(bounds)))
    assert pieces.data == whole.data
    assert pieces.answers == whole.answers
    assert pieces.events == whole.events
    assert pieces.tap.pending == whole.tap.pending


@settings(max_examples=200, deadline=None)
@given(streams)
def test_single_bytes_give_the_same_result(stream: bytes) -> None:
    stream = stream[:3000]
    whole, single = Sink(), Sink()
    whole.feed(stream)
    single.feed(*(stream[at : at + 1] for at in range(len(stream))))
    assert (single.data, single.events) == (whole.data, whole.events)


def test_other_strings_pass_unchanged() -> None:
    stream = b"a\x1b]0;title\x07b\x1bPq#0~~\x1b\\c\x1b_Gx\x1b\\\x1b[31m\x1b]52;c;aGk=\x1b\\d" + OPEN + b"link" + CLOSE
    assert Sink().feed(stream) == stream


def test_prompt_marks_become_events_with_exit_status() -> None:
    sink = Sink()
    stream = b"\x1b]133;A\x07$ \x1b]133;B\x07ls\r\n\x1b]133;C\x07out\r\n\x1b]133;D;130\x1b\\\x1b]133;D\x07"
    assert sink.feed(stream) == stream
    assert sink.events == [
        PromptMark("A"), PromptMark("B"), PromptMark("C"), PromptMark("D", 130), PromptMark("D"),
    ]  # fmt: skip


def test_notifications_of_osc_99_are_joined() -> None:
    sink = Sink()
    sink.feed(b"\x1b]99;;Hello\x1b\\\x1b]99;i=1:d=0;Ti\x07\x1b]99;i=1:d=0;tle\x07\x1b]99;i=1:p=body:e=1;Ym9keQ==\x07")
    sink.feed(b"\x1b]99;i=2:p=?;\x07")
    assert sink.events == [Notification("Hello", "", 99), Notification("Title", "body", 99)]


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        (b"544e", b"\x1bP1+r544e=787465726D2D323536636F6C6F72\x1b\\"),
        (b"436f;524742", b"\x1bP1+r436f=323536\x1b\\\x1bP1+r524742=382F382F38\x1b\\"),
        (b"7a7a", b"\x1bP0+r7a7a\x1b\\"),
        (b"\xff;zz", b"\x1bP0+r\x1b\\"),
    ],
)
def test_capabilities_are_answered(asked: bytes, answer: bytes) -> None:
    sink = Sink()
    sink.feed(b"\x1bP+q" + asked + b"\x1b\\")
    assert sink.answers == answer


@pytest.mark.parametrize(
    "start", [b"\x1b]8", b"\x1b\x00]8", b"\x1b]\x018", b"\x1b\x7f\x07]8", b"\x1b\x1b]8", b"\x1bPq\x1b]8"]
)
def test_links_beyond_the_limit_are_dropped_whatever_way_they_are_written(start: bytes) -> None:
    sink = Sink(linked=LINKED_MAX + 1)
    for _ in range(LINKED_MAX // 1000):
        sink.feed(start + b";;http://a\x07" + b"x" * 1000 + CLOSE)
    assert sink.events == [LinksDropped()]
    seen = len(sink.data)
    sink.feed(start + b";;http://secret\x07text" + CLOSE)
    assert b"secret" not in sink.data
    assert b"text" in sink.data[seen:]


def test_a_link_ends_at_its_maximum_length() -> None:
    sink = Sink()
    data = sink.feed(OPEN + "é".encode() * LINK_MAX)
    end = data.index(CLOSE, len(OPEN))
    assert abs(end - len(OPEN) - LINK_MAX) < 4
    assert data.replace(OPEN, b"").replace(CLOSE, b"") == "é".encode() * LINK_MAX


def test_a_linked_character_is_not_repeated() -> None:
    assert b"b" not in Sink().feed(OPEN + b"x\x1b[9", b"9\x009b" + CLOSE)[len(OPEN) :].replace(CLOSE, b"")
    sink = Sink()
    sink.feed(OPEN + b"x\x1b[" + b"0" * 2 * STRING_MAX, b"9b")
    assert CLOSE + b"\x1b[00" in sink.data


def test_the_strict_filter_drops_strings() -> None:
    sink = Sink(strict=True)
    data = sink.feed(
        b"a" + OPEN + b"b" + CLOSE + b"\x1bPq#0\x1b\\c\x1b_Gx\x1b\\d\x1b]52;c;x\x07e\x1b]2;title\x07f\x1b^x\x1b\\"
    )
    assert data.replace(b"\x1b\\", b"") == b"abcde\x1b]2;title\x07f"


def test_strings_that_never_end_use_bounded_memory() -> None:
    for start in (b"\x1b]8;;", b"\x1b]99;", b"\x1b]", b"\x1bP+q", b"\x1b\x00", OPEN + b"\x1b[", b"\x1bPq", b"\x1b]52;"):
        sink = Sink()
        sink.feed(start)
        for _ in range(100):
            sink.feed(b"0" * 10_000)
            assert len(sink.tap.pending) <= STRING_MAX + 1
            sink.data.clear()


def test_output_without_strings_is_filtered_fast() -> None:
    data = (b"The quick brown \x1b[38;5;100mfox\x1b[0m jumps over the lazy dog\r\n" * 1500)[:65536]
    tap = Tap(Outbox(), LinkLimit(Screen()))
    best = min(_time(tap, data) for _ in range(5))
    assert len(data) / best > 150e6


def _time(tap: Tap, data: bytes) -> float:
    started = time.perf_counter()
    for _ in range(20):
        for _ in tap.feed(data):
            pass
    return (time.perf_counter() - started) / 20
