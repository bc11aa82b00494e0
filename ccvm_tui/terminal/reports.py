"""Separation of a terminal's reports from typed input.

A terminal's replies to queries (device attributes, cursor position, modes, colours, window size) and its focus and
mouse reports arrive on the same stream as keys. A session that is shown in several terminals must get the replies of
only one of them, and a mouse movement must not make a client the one that typed last.
"""

from ccvm_tui.terminal.input import is_report
from ccvm_tui.terminal.lexer import InputLexer


def without_reports(data: bytes) -> bytes:
    """Return input from a terminal without its reports. Pastes are not changed."""
    if b"\x1b" not in data:
        return data
    splitter = ReportSplitter()
    typed, _ = splitter.feed(data)
    return typed + splitter.flush()


class ReportSplitter:
    """A parser that separates reports from typed input in a stream, wherever the stream is cut.

    A possible beginning of a report is held back. Call ``flush`` if nothing follows within a short time, because a lone
    ESC is the Escape key.
    """

    def __init__(self) -> None:
        self._lexer = InputLexer()

    @property
    def held(self) -> bytes:
        """The bytes that are held back, at most 64 KiB."""
        return self._lexer.held

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Add input. Returns the typed input and the reports recognized so far."""
        typed: list[bytes] = []
        reports: list[bytes] = []
        for piece in self._lexer.feed(data):
            (reports if is_report(piece) else typed).append(piece.data)
        return b"".join(typed), b"".join(reports)

    def flush(self) -> bytes:
        """Return the bytes held back, which were typed after all."""
        return b"".join(piece.data for piece in self._lexer.flush())
