"""Tells what a terminal says by itself from what somebody types.

A terminal's answers (device attributes, cursor position, modes, colours, window reports), its focus and mouse
reports arrive on the same wire as keys. A session shown in several terminals must not get every one's answer, and
nobody becomes the one who typed last by moving the mouse. Sources: xterm's ctlseqs; the kitty protocols.
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
# What may still become a report when more bytes come.
_unfinished = re.compile(
    rb"\x1b(?:\[(?:[<>?]?[0-9;]{0,32}\$?|M[\x20-\xff]{0,2})?|[P\]_][^\x07\x1b\x18\x1a]{0,65536}\x1b?)?\Z", re.DOTALL
)
_PASTE_START: Final = b"\x1b[200~"
_PASTE_END: Final = b"\x1b[201~"

HELD_MAX: Final = 64 * 1024


def without_reports(data: bytes) -> bytes:
    """What is left of one whole read of a terminal when its reports are taken out; pastes are left alone."""
    if b"\x1b" not in data:
        return data
    splitter = ReportSplitter()
    typed, _ = splitter.feed(data)
    return typed + splitter.flush()


def is_report(data: bytes) -> bool:
    """Whether all of the data is what a terminal says by itself."""
    return bool(data) and not without_reports(data)


class ReportSplitter:
    """Separates reports from typing in a stream, wherever it is cut.

    What may become a report is held back, up to `HELD_MAX` bytes: whoever feeds must `flush` after a moment of
    silence, since a lone ESC is the Escape key.
    """

    def __init__(self) -> None:
        self._held = b""
        self._pasting = False
        self._tail = b""

    @property
    def held(self) -> bytes:
        """What is held back."""
        return self._held

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """What was typed, and the reports, as far as it is certain."""
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
        """No more bytes come: what was held back has been typed."""
        held, self._held = self._held, b""
        return held

    def _piece(self, data: bytes, at: int, typed: list[bytes], reports: list[bytes]) -> int:
        """Take one piece at `at`; returns where to go on, or -1 when the rest is held back."""
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
        """Pass a paste on; all of it at once, but remember what may be the beginning of its end."""
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
