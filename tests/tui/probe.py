"""A program that reports the properties of its terminal, at each line, change of size, and notification.

Sessions run it by its path: it imports nothing of the project.
"""

import fcntl
import os
import re
import select
import signal
import struct
import sys
import termios
import tty

WITHIN = 5.0
QUESTIONS = b"\x1b]10;?\x1b\\\x1b]11;?\x1b\\\x1b]12;?\x1b\\\x1b[?996n\x1b[14t\x1b[16t\x1b[18t\x1b[c"


def main() -> None:
    """Run ``probe.py [SEQUENCES]``: print the sequences, then reports. Each line of a report begins with its number."""
    before = termios.tcgetattr(0)
    tty.setraw(0)
    wake, wakes = os.pipe()
    os.set_blocking(wakes, False)
    signal.set_wakeup_fd(wakes)
    signal.signal(signal.SIGWINCH, lambda *_: None)
    os.write(1, b"".join(word.encode().decode("unicode_escape").encode("latin-1") for word in sys.argv[1:]))
    number = 0
    while True:
        number += 1
        report(number)
        ready = select.select([0, wake], [], [])[0]
        if wake in ready:
            os.read(wake, 100)
        if 0 in ready:
            typed = os.read(0, 4096)
            show(number, typed)
            if typed == b"q":
                termios.tcsetattr(0, termios.TCSANOW, before)
                return


def show(number: int, typed: bytes) -> None:
    os.write(1, b"\r\n%d typed %s" % (number, typed.replace(b"\x1b", b"^[").replace(b"\r", b"^M")))


def report(number: int) -> None:
    os.write(1, QUESTIONS)
    answers = b""
    while not re.search(rb"\x1b\[\?[0-9;]*c", answers) and select.select([0], [], [], WITHIN)[0]:
        answers += os.read(0, 4096)
    rows, cols, width, height = struct.unpack("HHHH", fcntl.ioctl(0, termios.TIOCGWINSZ, bytes(8)))
    words = [
        f"{number} size {cols}x{rows} {width}x{height}",
        "colours " + " ".join(found.decode() for found in re.findall(rb"\x1b\]1[012];rgb:([0-9a-f/]+)", answers)),
        "scheme " + " ".join(found.decode() for found in re.findall(rb"\x1b\[\?(997;[12])n", answers)),
        "reports " + " ".join(found.decode() for found in re.findall(rb"\x1b\[([468];[0-9;]+)t", answers)),
    ]
    os.write(1, b"\r\n" + "\r\n".join(words).encode() + b"\r\n%d end" % number)
    if typed := re.sub(rb"\x1b\][^\x1b]*\x1b\\|\x1b\[(\?[0-9;]*[cn]|[468];[0-9;]*t)", b"", answers):
        show(number, typed)  # somebody did not wait for the end of the questions


main()
