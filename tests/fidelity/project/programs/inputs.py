"""Set one set of modes after the other, and print all input; Q continues with the next set.

A focus report that repeats the last one is not printed, because some terminals report the focus as soon as reports are
enabled. The terminal is assumed not to have the focus at the start.
"""

import os
import re
import sys
import termios
import tty

SETS = ("?2004h", "?2004h ?1h", "?1000h ?1006h", "?1002h ?1006h", "?1003h ?1006h ?1004h", "?1000h", "?9h", ">4;2m")

focus = b"\x1b[O"


def only_changes(match: re.Match[bytes]) -> bytes:
    global focus
    before, focus = focus, match[0]
    return b"" if focus == before else focus


def show(data: bytes) -> None:
    for byte in re.sub(rb"\x1b\[[IO]", only_changes, data):
        sys.stdout.write("<ESC>" if byte == 27 else chr(byte) if 32 < byte < 127 else f"<{byte:02x}>")
    sys.stdout.flush()


before = termios.tcgetattr(0)
tty.setraw(0)
try:
    for modes in SETS:
        for mode in modes.split():
            sys.stdout.write(f"\x1b[{mode}")
        print(f"\x1b[H\x1b[2J\x1b[3Jon: {modes}", end="\r\n", flush=True)
        while b"Q" not in (data := os.read(0, 4096)):
            show(data)
        for mode in modes.split():
            sys.stdout.write(f"\x1b[{mode[:-1]}l" if mode.endswith("h") else "\x1b[>4m")
finally:
    print("done", end="\r\n", flush=True)
    termios.tcsetattr(0, termios.TCSANOW, before)
