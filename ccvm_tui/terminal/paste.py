"""Pasted text and focus changes → bytes for the program."""

import re
from typing import Final

from ccvm_tui.terminal.cells import Mode, Modes

START: Final = b"\x1b[200~"
END: Final = b"\x1b[201~"

# C0 but for tab and line ends, DEL, and C1 as UTF-8 writes it: what a program could take for a key or for the end
# of the paste.
_forbidden = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\xc2[\x80-\x9f]")
_line_end = re.compile(rb"\r\n|\n")


def encode_paste(data: bytes, modes: Modes) -> bytes:
    """The paste as a terminal sends it, without the control characters that have no business in text.

    With mode 2004 it stands between brackets and keeps its line ends; without, they become what Enter sends.
    """
    # Taking one out may put another together (c2 c2 9b 9b): look until nothing is left.
    while _forbidden.search(data):
        data = _forbidden.sub(b"", data)
    if modes.has(Mode.BRACKETED_PASTE):
        return START + data + END
    return _line_end.sub(b"\r\n" if modes.has(Mode.NEWLINE) else b"\r", data)


def encode_focus(gained: bool, modes: Modes) -> bytes:
    """Mode 1004's report, or nothing when the program did not ask for it."""
    if not modes.has(Mode.FOCUS_EVENTS):
        return b""
    return b"\x1b[I" if gained else b"\x1b[O"
