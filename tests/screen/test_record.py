"""What is remembered of a session, and how it is judged."""

from __future__ import annotations

from ccvm_tui.guest import TermSize
from ccvm_tui.screen.record import CRASH_WINDOW, KEPT_MAX, Sentence, SessionRecord


def record() -> SessionRecord:
    return SessionRecord(TermSize(), 100, state=b"state", fed=10, saved=10)


def test_three_crashes_in_a_row_lead_to_a_diet_and_three_more_to_nothing() -> None:
    session = record()
    assert [session.convict(now) for now in (0.0, 1.0, 2.0)] == [Sentence.MERCY, Sentence.MERCY, Sentence.DIET]
    assert session.strict and not session.failed
    assert [session.convict(now) for now in (3.0, 4.0, 5.0)] == [Sentence.MERCY, Sentence.MERCY, Sentence.NOTHING]
    assert session.failed and not session.lost


def test_crashes_far_apart_are_forgiven() -> None:
    session = record()
    for crash in range(20):
        assert session.convict(crash * CRASH_WINDOW) is Sentence.MERCY


def test_a_checkpoint_that_kills_is_thrown_away() -> None:
    session = record()
    session.convict(0.0)
    assert session.state == b"state"
    session.begin()
    session.convict(1.0)
    assert session.state == b""


def test_only_who_was_fed_since_the_checkpoint_has_lost_something() -> None:
    quiet, busy = record(), record()
    busy.fed += 1
    quiet.process_died()
    busy.process_died()
    assert (quiet.lost, busy.lost) == (False, True)


def test_output_is_kept_up_to_a_limit() -> None:
    session = record()
    session.keep(b"a")
    session.keep(b"b")
    assert session.begin() == [b"a", b"b"]
    session.keep(b"x" * KEPT_MAX)
    assert not session.lost
    session.keep(b"y")
    session.keep(b"z")
    assert session.lost and session.begin() == []
