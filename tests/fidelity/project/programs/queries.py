"""Send queries to the terminal and print the replies, three times, and wait for a key in between."""

import os
import termios
import tty

QUERIES = {
    "DA1": "\x1b[c",
    "DA2": "\x1b[>c",
    "XTVERSION": "\x1b[>q",
    "size": "\x1b[18t",
    "foreground": "\x1b]10;?\x1b\\",
    "kitty keyboard": "\x1b[?u",
    "cursor style": "\x1bP$q q\x1b\\",
    "CPR": "\x1b[6n",
}
STATUS, FINE = b"\x1b[5n", b"\x1b[0n"


def answer(query: str) -> bytes:
    """Return the reply to a query: all input before the reply to a status query, which every terminal answers."""
    os.write(1, query.encode() + STATUS)
    received = b""
    while not received.endswith(FINE):
        received += os.read(0, 4096)
    return received.removesuffix(FINE)


before = termios.tcgetattr(0)
tty.setraw(0)
try:
    for _ in range(3):
        os.write(1, b"\x1b[H\x1b[2J")
        for name, query in QUERIES.items():
            reply = answer(query)
            os.write(1, f"{name}: {ascii(reply)[2:-1]}\r\n".encode())
        os.read(0, 1)
        os.write(1, b"done")
        os.read(0, 1)
finally:
    os.write(1, b"\r\n")
    termios.tcsetattr(0, termios.TCSANOW, before)
