"""Separation of a terminal's reports from typed input.

A terminal's replies to queries (device attributes, cursor position, modes, colours, window size) and its focus and
mouse reports arrive on the same stream as keys. A session that is shown in several terminals must get the replies of
only one of them, and a mouse movement must not make a client the one that typed last.
Sources: xterm's ctlseqs; the kitty protocols.
"""

import re
from typing import Final

_CSI_REPORTS: Final = (
    rb"\?[0-9;]*c"  # DA1
    rb"|>[0-9;]*c"  # DA2
    rb"|\?[0-9;]*u"  # kitty keyboard flags
    rb"|\??[0-9]+;[0-9]+(?:;[0-9]+)?\$y"  # DECRPM
    rb"|\?[0-9;]+R"  # DECXCPR
    rb"|(?!1;(?:[2-9]|1[0-6])R)[0-9]+;[0-9]+R"  # CPR; 1;2R to 1;16R are F3 with modifiers
    rb"|[03]n|\?[0-9;]+n"  # DSR, colour scheme
    rb"|[0-9]+(?:;[0-9]+)*t"  # window reports
    rb"|[IO]"  # focus
    rb"|<[0-9]+;[0-9]+;[0-9]+[Mm]"  # SGR mouse
    rb"|[0-9]+;[0-9]+;[0-9]+M"  # urxvt mouse
    rb"|M[\x20-\xff]{3}"  # X10 mouse
    rb"|[23];[0-9;]*x"  # DECREPTPARM
    rb"|\?[0-9;]*S"  # graphics attributes
    rb"|>[0-9;]*m"  # XTQMODKEYS
)
_report = re.compile(
    rb"\x1b\[(?:" + _CSI_REPORTS + rb")"
    # XTVERSION, DECRQSS, XTGETTCAP, DA3 (DCS), colours and clipboard (OSC), kitty graphics (APC)
    rb"|\x1b[P\]_][^\x07\x1b\x18\x1a]{0,65536}(?:\x07|\x1b\\)",
    re.DOTALL,
)
# The beginning of a report.
_unfinished = re.compile(
    rb"\x1b(?:\[(?:[<>?]?[0-9;]{0,32}\$?|M[\x20-\xff]{0,2})?|[P\]_][^\x07\x1b\x18\x1a]{0,65536}\x1b?)?\Z", re.DOTALL
)
_PASTE_START: Final = b"\x1b[200~"
_PASTE_END: Final = b"\x1b[201~"

HELD_MAX: Final = 64 * 1024
"""Bytes of an incomplete report that are held back."""


def without_reports(data: bytes) -> bytes:
    """Return input from a terminal without its reports. Pastes are not changed."""
    if b"\x1b" not in data:
        return data
    splitter = ReportSplitter()
    typed, _ = splitter.feed(data)
    return typed + splitter.flush()


def is_report(data: bytes) -> bool:
    """Return whether all of the data is reports."""
    return bool(data) and not without_reports(data)


class ReportSplitter:
    """A parser that separates reports from typed input in a stream, wherever the stream is cut.

    A possible beginning of a report is held back, up to ``HELD_MAX`` bytes. Call ``flush`` if nothing follows within a
    short time, because a lone ESC is the Escape key.
    """

    def __init__(self) -> None:
        self._held = b""
        self._pasting = False
        self._tail = b""

    @property
    def held(self) -> bytes:
        """The bytes that are held back."""
        return self._held

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Add input. Returns the typed input and the reports recognized so far."""
        data, self._held = self._held + data, b""
        typed: list[bytes] = []
        reports: list[bytes] = []
        at = 0
        while at < len(data):
            at = self._paste(data, at, typed) if self._pasting else self._piece(data, at, typed, reports)
            if at < 0:
                break
        return b"".join(typed), b"".join(reports)

    def flush(self) -> bytes:
        """Return the bytes held back, which were typed after all."""
        held, self._held = self._held, b""
        return held

    def _piece(self, data: bytes, at: int, typed: list[bytes], reports: list[bytes]) -> int:
        """Parse one piece at ``at``. Returns the offset after it, or -1 if the rest is held back."""
        escape = data.find(b"\x1b", at)
        if escape != at:
            typed.append(data[at : escape if escape >= 0 else len(data)])
            return escape if escape >= 0 else len(data)
        if data.startswith(_PASTE_START, at):
            self._pasting = True
            typed.append(_PASTE_START)
            return at + len(_PASTE_START)
        if match := _report.match(data, at):
            reports.append(match.group())
            return match.end()
        if len(data) - at <= HELD_MAX and _unfinished.match(data, at):
            self._held = data[at:]
            return -1
        typed.append(data[at : at + 1])
        return at + 1

    def _paste(self, data: bytes, at: int, typed: list[bytes]) -> int:
        """Pass on a paste at once, and keep what may be the beginning of its closing bracket."""
        seen = self._tail + data[at:]
        end = seen.find(_PASTE_END)
        if end < 0:
            typed.append(data[at:])
            self._tail = seen[-(len(_PASTE_END) - 1) :]
            return len(data)
        self._pasting = False
        end += len(_PASTE_END) - len(self._tail) + at
        self._tail = b""
        typed.append(data[at:end])
        return end
