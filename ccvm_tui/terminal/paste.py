"""Encoding of pasted text."""

import re
from typing import Final

from ccvm_tui.terminal.cells import Mode, Modes

START: Final = b"\x1b[200~"
END: Final = b"\x1b[201~"
"""The brackets of a paste in mode 2004."""

# C0 except tab and line ends, DEL, and C1 encoded as UTF-8. A program could take these for keys or for the end of the
# paste.
_forbidden = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\xc2[\x80-\x9f]")
_line_end = re.compile(rb"\r\n|\n")


def encode_paste(data: bytes, modes: Modes) -> bytes:
    """Return the bytes that a terminal sends for a paste, without control characters other than tabs and line ends.

    In mode 2004 the paste is bracketed and keeps its line ends. Otherwise line ends become the bytes that Enter sends.
    """
    # Removing one character can form another (c2 c2 9b 9b), so repeat until none is left.
    while _forbidden.search(data):
        data = _forbidden.sub(b"", data)
    if modes.has(Mode.BRACKETED_PASTE):
        return START + data + END
    return _line_end.sub(b"\r\n" if modes.has(Mode.NEWLINE) else b"\r", data)
