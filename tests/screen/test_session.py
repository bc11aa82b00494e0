"""One session inside the screen process, on a clock of the test's own."""

from __future__ import annotations

from ccvm_tui.guest import TermSize
from ccvm_tui.screen.session import HOLD_MAX, ScreenSession
from ccvm_tui.screen.views import INTERVAL, FrameView
from ccvm_tui.terminal.cells import Frame, decode_frame, row_text
from ccvm_tui.terminal.emulator import Emulator


class Stage:
    """A session with one view, and what the view was sent."""

    def __init__(self) -> None:
        self.now = 100.0
        self.session = ScreenSession("s1", Emulator(TermSize(40, 5)))
        self.view = FrameView("v", "s1")
        self.session.views["v"] = self.view
        self.sent: list[Frame] = []

    def settle(self) -> None:
        """The view has seen everything, and long ago."""
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


def test_the_first_frame_after_a_pause_goes_at_once_and_the_next_waits() -> None:
    stage = Stage()
    stage.feed(b"a")
    assert stage.line() == "a"
    stage.feed(b"b")
    assert len(stage.sent) == 1
    due = stage.session.due()
    assert due is not None and abs(due - stage.now - INTERVAL) < 1e-9
    stage.wait(INTERVAL + 1e-6)
    assert stage.line() == "ab"
    assert stage.session.due() is None


def test_no_frame_while_an_update_is_held() -> None:
    stage = Stage()
    stage.settle()
    stage.feed(b"\x1b[?2026hhalf")
    stage.wait(0.1)
    assert stage.sent == []
    stage.feed(b" whole\x1b[?2026l")
    assert stage.line() == "half whole"


def test_an_update_that_ends_in_the_middle_of_the_data_is_shown_whole() -> None:
    stage = Stage()
    stage.settle()
    stage.feed(b"\x1b[?2026hone\x1b[?2026l\x1b[?2026h\x1b[2J\x1b[Htwo")
    assert stage.line() == "one"
    stage.feed(b"!\x1b[?2026l")
    stage.wait(INTERVAL + 1e-6)
    assert stage.line() == "two!"


def test_an_update_that_nobody_ends_is_shown_after_a_while() -> None:
    stage = Stage()
    stage.settle()
    stage.feed(b"\x1b[?2026hhalf")
    stage.wait(HOLD_MAX / 2)
    stage.feed(b".")
    assert stage.sent == []
    stage.wait(HOLD_MAX / 2 + 1e-6)
    assert stage.line() == "half."


def test_what_changes_nothing_sends_nothing() -> None:
    stage = Stage()
    stage.feed(b"a\x1b[2;2H")
    stage.wait(1)
    count = len(stage.sent)
    stage.feed(b"\x1b[0m")
    stage.wait(1)
    assert len(stage.sent) == count
    stage.feed(b"\x1b[?2004h")
    assert len(stage.sent) == count + 1 and stage.sent[-1].lines == []


def test_checkpoints_wait_for_a_change_and_for_their_turn() -> None:
    stage = Stage()
    stage.feed(b"a")
    due = stage.session.checkpoint_due()
    assert due is not None and due <= stage.now
    assert stage.session.checkpoint(lambda: stage.now)
    assert stage.session.checkpoint_due() is None
    stage.feed(b"b")
    due = stage.session.checkpoint_due()
    assert due is not None and due >= stage.now + 1


def test_a_checkpoint_in_the_middle_of_a_sequence_goes_on_where_it_stopped() -> None:
    stage = Stage()
    stage.feed(b"a\x1b[3")
    emulator = Emulator.restore(stage.session.emulator.snapshot())
    again = Emulator.restore(emulator.snapshot())
    again.feed(b"1mb")
    again.refresh(everything=True)
    assert [(run.text, again.table(again.rows)[run.style].foreground) for run in again.rows[0].runs] == [
        ("a", -1),
        ("b", 1),
    ]
