"""What the outer terminal is told when a session comes and goes.

A session's bytes reach the terminal unfiltered, and with them every mode its program switches on. When the
program goes on running without us, or dies in the middle, nobody else switches them off again.
Sequences as in xterm's ctlseqs and the kitty keyboard protocol.
"""

from __future__ import annotations

_KEPT = b"1007;1035;1036;2027"
"""Modes that are on in some terminals and off in others: the wheel and Alt as keys, clusters of characters."""

ENTER = b"\x1b[22;0t\x1b[?" + _KEPT + b"s"
"""Save the title and those modes, where the terminal can."""

_RESET = (
    b"\x1b\\"  # ends a string that was cut off
    b"\x1b[!p"  # soft reset
    b"\x1b[?2026l"  # show what was held back for a synchronized update
    # kitty keyboard flags, of which each screen has its own. Unlike 1049, 1047 leaves the cursor where it is; 1049 is
    # for terminals that remember by which mode they got to the other screen.
    b"\x1b[?1047h\x1b[<99u\x1b[?1047l\x1b[<99u\x1b7\x1b[?1049l"
    b"\x1b[>4m"  # modifyOtherKeys
    b"\x1b[?1l\x1b>\x1b[?67l\x1b[?1039l\x1b[?1045l"  # application cursor keys and keypad, Backspace, Alt, wrapping back
    b"\x1b[?" + _KEPT + b"r"
    b"\x1b[?9l\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1005l\x1b[?1006l\x1b[?1015l\x1b[?1016l"  # mouse
    b"\x1b[?1004l\x1b[?2004l\x1b[?2031l\x1b[?2048l"  # focus, bracketed paste, colour scheme and size reports
    b"\x1b[4l\x1b[20l\x1b[?5l\x1b[?7h\x1b[?45l\x1b[?69l"  # insert, newline, reverse screen, wraps, margins
    b"\x1b(B\x0f\x1b[0m\x1b]8;;\x1b\\"  # character set, attributes, hyperlink
    b"\x1b[0 q\x1b[?12l\x1b[?25h"  # cursor
    b"\x1b]104\x1b\\\x1b]110\x1b\\\x1b]111\x1b\\\x1b]112\x1b\\"  # palette, foreground, background, cursor colour
    b"\x1b[23;0t"  # the title as it was
)

BLANK = _RESET + b"\x1b[22;0t\x1b[?6l\x1b[r\x1b[2J\x1b[H"
"""An empty screen in a known state, for words of our own."""


def ended(cols: int) -> bytes:
    """The program ended by itself: the cursor is where it left it."""
    return _RESET + b"\x1b7\x1b[r" + _tab_stops(cols) + b"\x1b8"


def left(cols: int) -> bytes:
    """We left in the middle: go on below whatever is on the screen."""
    return _RESET + b"\x1b[?6l\x1b[r" + _tab_stops(cols) + b"\x1b[9999;1H\r\n"


def _tab_stops(cols: int) -> bytes:
    """One in every eighth column: set one by one, since few terminals know DECST8C; those set them beyond, too."""
    return b"\x1b[3g" + b"".join(b"\x1b[%dG\x1bH" % column for column in range(9, cols + 1, 8)) + b"\x1b[?5W"
