"""Print the size of the terminal, now and after every SIGWINCH, until end of file."""

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
