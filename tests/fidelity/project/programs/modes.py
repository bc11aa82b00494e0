"""Leave the terminal in the middle of an operation, with margins, tab stops, character sets or a pending wrap.

Each argument names a step. A step prints its first part, waits for a key, prints its second part, waits for another
key, and resets the terminal.
"""

import os
import sys
import termios
import tty

columns, lines = os.get_terminal_size()
STEPS = {
    "margins": (
        f"\x1b[3;{lines - 2}r\x1b[?6h\x1b[H" + "\r\n".join(f"line {n}" for n in range(lines)),
        "\x1b[2;5Hhere\x1b[1L\x1b[99;1H\n\n",
    ),
    "wrap": ("w" * columns, "next"),
    "wide wrap": ("x" * (columns - 2) + "漢", "字"),
    "tabs": ("\x1b[3g\x1b[5G\x1bH\x1b[17G\x1bH\rtabs:", "\ta\tb\tc"),
    "drawing": ("\x1b(0lqk\r\nx", "qqqj"),
    "insert": ("insert before|\x1b[7G\x1b[4h", "new "),
    "hidden": ("\x1b[?25lno cursor\x1b[?7l", "x" * (columns + 5)),
    "keys": ("\x1b[?1h\x1b=keys\x1b]2;a title\x07", "!"),
    "saved": ("saved: \x1b[32m\x1b7\x1b[0m\r\n\nelsewhere", "\x1b8back"),
    "alternate": ("\x1b[1;34mbelow\x1b[0m\x1b[?1049h\x1b[5;5Habove \x1b[33m", "again\x1b[?1049l back"),
    "alternate without cursor": ("below\x1b[?47h\x1b[2J\x1b[5;5Habove", "again\x1b[?47l back"),
    "erased in colour": ("\x1b[44m\x1b[2J\x1b[3;3H\x1b[41m\x1b[K\x1b[3;9H\x1b[0mtext", "\x1b[1;1H\x1b[45m\x1b[M"),
}
NORMAL = "\x1b[r\x1b[?6l\x1b[4l\x1b[?7h\x1b[?25h\x1b[?1l\x1b>\x1b(B\x1b[0m\x1b[2J\x1b[H"

before = termios.tcgetattr(0)
tty.setraw(0)
try:
    for name in sys.argv[1:] or STEPS:
        for part in STEPS[name]:
            sys.stdout.write(part)
            sys.stdout.flush()
            os.read(0, 1)
        sys.stdout.write(NORMAL)
finally:
    print("done", end="\r\n", flush=True)
    termios.tcsetattr(0, termios.TCSANOW, before)
