"""The record of a session: kept output, and the treatment after crashes."""

from __future__ import annotations

from ccvm_tui.guest import TermSize
from ccvm_tui.screen.record import CRASH_WINDOW, KEPT_MAX, CrashAction, SessionRecord


def record() -> SessionRecord:
    return SessionRecord(TermSize(), 100, state=b"state", fed=10, saved=10)


def test_three_crashes_restrict_a_session_and_three_more_disable_it() -> None:
    session = record()
    first = [session.record_crash(now) for now in (0.0, 1.0, 2.0)]
    assert first == [CrashAction.CONTINUE, CrashAction.CONTINUE, CrashAction.RESTRICT]
    assert session.strict
    assert not session.failed
    second = [session.record_crash(now) for now in (3.0, 4.0, 5.0)]
    assert second == [CrashAction.CONTINUE, CrashAction.CONTINUE, CrashAction.DISABLE]
    assert session.failed
    assert not session.lost


def test_crashes_far_apart_have_no_consequences() -> None:
    session = record()
    for crash in range(20):
        assert session.record_crash(crash * CRASH_WINDOW) is CrashAction.CONTINUE


def test_a_checkpoint_that_crashes_the_process_is_discarded() -> None:
    session = record()
    session.record_crash(0.0)
    assert session.state == b"state"
    session.begin()
    session.record_crash(1.0)
    assert session.state == b""


def test_only_sessions_fed_since_their_checkpoint_have_lost_output() -> None:
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
    assert session.lost
    assert session.begin() == []
