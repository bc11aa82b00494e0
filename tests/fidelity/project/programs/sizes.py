"""Prints the terminal's size, and again after every SIGWINCH; ends at end of file."""

import os
import signal
import sys

changes = 0


def show(*_: object) -> None:
    global changes
    size = os.get_terminal_size()
    print(f"{changes}: {size.columns}x{size.lines}", flush=True)
    changes += 1


signal.signal(signal.SIGWINCH, show)
show()
for _ in sys.stdin:
    pass
