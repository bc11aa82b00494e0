"""A session inside the screen process, with a simulated clock."""

from __future__ import annotations

from ccvm_tui.guest import TermSize
from ccvm_tui.screen.session import HOLD_MAX, ScreenSession
from ccvm_tui.screen.views import INTERVAL, FrameView
from ccvm_tui.terminal.cells import Frame, decode_frame, row_text
from ccvm_tui.terminal.emulator import Emulator


class Harness:
    """A session with one view, the frames sent to it, and a clock."""

    def __init__(self) -> None:
        self.now = 100.0
        self.session = ScreenSession("s1", Emulator(TermSize(40, 5)))
        self.view = FrameView("v", "s1")
        self.session.views["v"] = self.view
        self.sent: list[Frame] = []

    def settle(self) -> None:
        """Let the view see everything, and some time pass."""
        self.wait(1)
        self.now += 1
        self.sent.clear()

    def feed(self, data: bytes) -> None:
        self.session.feed(data, self.now, self._show)
        self._show(self.session)

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self._show(self.session)

    def _show(self, session: ScreenSession) -> None:
        for _, data in session.frames(self.now):
            self.sent.append(decode_frame(data))
            self.view.acknowledged()

    def line(self) -> str:
        return row_text(self.sent[-1].lines[0]) if self.sent and self.sent[-1].lines else ""


def test_the_first_frame_after_a_pause_is_sent_at_once_and_the_next_waits() -> None:
    harness = Harness()
    harness.feed(b"a")
    assert harness.line() == "a"
    harness.feed(b"b")
    assert len(harness.sent) == 1
    due = harness.session.due()
    assert due is not None
    assert abs(due - harness.now - INTERVAL) < 1e-9
    harness.wait(INTERVAL + 1e-6)
    assert harness.line() == "ab"
    assert harness.session.due() is None


def test_no_frame_is_sent_during_a_synchronized_update() -> None:
    harness = Harness()
    harness.settle()
    harness.feed(b"\x1b[?2026hhalf")
    harness.wait(0.1)
    assert harness.sent == []
    harness.feed(b" whole\x1b[?2026l")
    assert harness.line() == "half whole"


def test_an_update_that_ends_in_the_middle_of_the_data_is_shown_complete() -> None:
    harness = Harness()
    harness.settle()
    harness.feed(b"\x1b[?2026hone\x1b[?2026l\x1b[?2026h\x1b[2J\x1b[Htwo")
    assert harness.line() == "one"
    harness.feed(b"!\x1b[?2026l")
    harness.wait(INTERVAL + 1e-6)
    assert harness.line() == "two!"


def test_an_update_that_does_not_end_is_shown_after_a_time_limit() -> None:
    harness = Harness()
    harness.settle()
    harness.feed(b"\x1b[?2026hhalf")
    harness.wait(HOLD_MAX / 2)
    harness.feed(b".")
    assert harness.sent == []
    harness.wait(HOLD_MAX / 2 + 1e-6)
    assert harness.line() == "half."


def test_output_without_visible_effect_sends_no_frame() -> None:
    harness = Harness()
    harness.feed(b"a\x1b[2;2H")
    harness.wait(1)
    count = len(harness.sent)
    harness.feed(b"\x1b[0m")
    harness.wait(1)
    assert len(harness.sent) == count
    harness.feed(b"\x1b[?2004h")
    assert len(harness.sent) == count + 1
    assert harness.sent[-1].lines == []


def test_checkpoints_wait_for_a_change_and_for_the_interval() -> None:
    harness = Harness()
    harness.feed(b"a")
    due = harness.session.checkpoint_due()
    assert due is not None
    assert due <= harness.now
    assert harness.session.checkpoint(lambda: harness.now)
    assert harness.session.checkpoint_due() is None
    harness.feed(b"b")
    due = harness.session.checkpoint_due()
    assert due is not None
    assert due >= harness.now + 1


def test_a_checkpoint_in_the_middle_of_a_sequence_continues_it() -> None:
    harness = Harness()
    harness.feed(b"a\x1b[3")
    emulator = Emulator.restore(harness.session.emulator.snapshot())
    again = Emulator.restore(emulator.snapshot())
    again.feed(b"1mb")
    again.refresh(everything=True)
    assert [(run.text, again.table(again.rows)[run.style].foreground) for run in again.rows[0].runs] == [
        ("a", -1),
        ("b", 1),
    ]
