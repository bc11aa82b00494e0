"""Sequences that save and restore the modes of the host terminal around an attached session.

The output of the session's program is passed to the terminal unfiltered, including the modes that the program enables.
If the user detaches, or if the program dies, no other process disables these modes again.
Sources: xterm's ctlseqs; the kitty keyboard protocol.
"""

from __future__ import annotations

_SAVED = b"1007;1035;1036;2027"
"""Modes whose defaults differ between terminals: the wheel and Alt as keys, grapheme clusters."""

SAVE = b"\x1b[22;0t\x1b[?" + _SAVED + b"s"
"""The sequence that saves the title and those modes, in terminals that support it."""

_RESET = (
    b"\x1b\\"  # end of a string that was cut off
    b"\x1b[!p"  # soft reset
    b"\x1b[?2026l"  # end of a synchronized update, which shows what was held back
    # kitty keyboard flags, which each screen has separately. Unlike 1049, 1047 does not move the cursor; 1049 is for
    # terminals that remember which mode has selected the alternate screen.
    b"\x1b[?1047h\x1b[<99u\x1b[?1047l\x1b[<99u\x1b7\x1b[?1049l"
    b"\x1b[>4m"  # modifyOtherKeys
    b"\x1b[?1l\x1b>\x1b[?67l\x1b[?1039l\x1b[?1045l"  # application cursor keys and keypad, Backspace, Alt, wrapping back
    b"\x1b[?" + _SAVED + b"r"
    b"\x1b[?9l\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1005l\x1b[?1006l\x1b[?1015l\x1b[?1016l"  # mouse
    b"\x1b[?1004l\x1b[?2004l\x1b[?2031l\x1b[?2048l"  # focus, bracketed paste, colour scheme and size reports
    b"\x1b[4l\x1b[20l\x1b[?5l\x1b[?7h\x1b[?45l\x1b[?69l"  # insert, newline, reverse screen, wraps, margins
    b"\x1b(B\x0f\x1b[0m\x1b]8;;\x1b\\"  # character set, attributes, hyperlink
    b"\x1b[0 q\x1b[?12l\x1b[?25h"  # cursor
    b"\x1b]104\x1b\\\x1b]110\x1b\\\x1b]111\x1b\\\x1b]112\x1b\\"  # colours: palette, foreground, background, cursor
    b"\x1b[23;0t"  # the saved title
)

BLANK = _RESET + b"\x1b[22;0t\x1b[?6l\x1b[r\x1b[2J\x1b[H"
"""The sequence that restores the modes and clears the screen."""


def restore(cols: int) -> bytes:
    """Return the sequence that restores a terminal with ``cols`` columns. The cursor is not moved."""
    return _RESET + b"\x1b7\x1b[r" + _tab_stops(cols) + b"\x1b8"


def restore_below(cols: int) -> bytes:
    """Return the sequence that restores a terminal and moves the cursor below everything on the screen."""
    return _RESET + b"\x1b[?6l\x1b[r" + _tab_stops(cols) + b"\x1b[9999;1H\r\n"


def _tab_stops(cols: int) -> bytes:
    """Set a tab stop in every eighth column. Only terminals with DECST8C, which are few, also set them beyond."""
    return b"\x1b[3g" + b"".join(b"\x1b[%dG\x1bH" % column for column in range(9, cols + 1, 8)) + b"\x1b[?5W"
