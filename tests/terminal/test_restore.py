"""The bytes that rebuild a session in another terminal."""

from __future__ import annotations

from hypothesis import HealthCheck, example, given, settings

from ccvm_tui.guest import TermSize
from ccvm_tui.terminal.emulator import Emulator
from ccvm_tui.terminal.restore import restore_bytes
from tests.terminal.screens import history_text, shown, sizes, streams


def rebuilt(first: Emulator, scrollback: int = 1000) -> Emulator:
    second = Emulator(first.size)
    # The state that another program has left in that terminal.
    second.feed(b"\x1b[?1049h\x1b[?6h\x1b[2;3r\x1b[41mjunk\x1b[?7l\x1b[4h\x1b(0\x1b[>7u\x1b]8;;x\x07\x1b]2;unfinished")
    second.feed(restore_bytes(first, scrollback))
    return second


def assert_rebuilt(size: TermSize, stream: bytes) -> None:
    first = Emulator(size)
    first.feed(stream)
    second = rebuilt(first)
    # A synchronized update is not restored, because nothing would end it.
    first.feed(b"\x1b[?2026l")
    expected = shown(first)
    got = shown(second)
    # If the session has no title, the terminal keeps its own.
    got.title = got.title if expected.title else ""
    assert got == expected
    # The formatter joins a full line with the blank line that it was wrapped to, so do not compare blanks.
    assert "".join(history_text(second)).replace(" ", "").endswith("".join(history_text(first)).replace(" ", ""))
    # Later output must look the same too.
    for more in (b"\x1b[?1049lz\x1b[Aq", b"next\r\nline"):
        first.feed(more)
        second.feed(more)
        assert shown(second).rows == shown(first).rows
    first.close()
    second.close()


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(sizes, streams)
@example(TermSize(3, 2), "\x1b[1S\x1b[48;2;0;0;0m漢字".encode())  # a wrap that scrolls in colour
@example(TermSize(4, 1), "é漢字".encode())  # a spacer between scrollback and screen
@example(TermSize(2, 1), "e\u0301e\u0301".encode())  # marks on the last character of a full line
@example(TermSize(6, 1), "e\u0301漢字\b".encode())  # the cursor on the second half of a wide character
@example(TermSize(2, 1), b"0\x1b7")  # a saved cursor
@example(TermSize(2, 2), b"0\x1b[31")  # in the middle of a sequence
def test_any_session_is_rebuilt(size: TermSize, stream: bytes) -> None:
    assert_rebuilt(size, stream)
