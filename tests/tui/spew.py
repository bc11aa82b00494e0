"""A program that prints hostile bytes from a seed, as a malicious guest might, and waits: ``python spew.py SEED``."""

from __future__ import annotations

import os
import random
import sys

PIECES = (
    b"\x1b[%d;%dH", b"\x1b[?1049h", b"\x1b[?1049l", b"\x1b[2J", b"\x1b[3J", b"\x1b[%dm", b"\x1b[41;5;7;4:3m", b"\x1b#8",
    b"\x1b]0;\x1b[31mevil\x07", b"\x1b]2;title %d\x07", b"\x1b]0;a\nb\x9cc\x07", b"\x1b]52;c;?\x07", b"\x1b[c", b"\x1b[>c",
    b"\x1b[6n", b"\x1b[5n", b"\x1bP$qm\x1b\\", b"\x1b[?25l", b"\x1b[?25h", b"\x1b[%d;%dr", b"\x1b[?6h", b"\x1b[?7l",
    b"\x1b(0", b"\x1b(B", b"\x0e", b"\x0f", b"\x1b[?5h", b"\x1b[?5l", b"\x1b]8;;http://x/\x07link\x1b]8;;\x07", b"\x1b[%dL",
    b"\x1b[%dM", b"\x1b[%dS", b"\x1b[%dT", b"\x1b[?2026h", b"\x1b]10;#ff0000\x07", b"\x1b]11;#00ff00\x07", b"\x1b]4;1;#123456\x07",
    b"\x1b]9;note \x1b[31m%d\x07", b"\x1b]777;notify;t;b\x07", b"\x1b]99;i=1;x\x1b\\", b"\x1b[21t", b"\x1b[>q", b"\x1b[=31;1u",
    b"\x1b[?1000h\x1b[?1003h\x1b[?1006h", b"\x1b[%d@", b"\x1b[%dP", b"\x1b[%d X", b"\x1b[ q\x1b[4 q", b"\x1bc", b"\x1b[!p", b"\x1b[20h",
    b"\x1b_Gf=100;AAAA\x1b\\", b"\x1bPq#0;2;0;0;0#0~~\x1b\\", b"\x1b]1337;File=:AAAA\x07", b"\x1b[8;5;5t", b"\x1b[?3h",
)  # fmt: skip
TEXTS = ("plain ", "漢字", "👩‍👩‍👧‍👦", "e\u0301\u0302\u0303\u0304", "\u202eright to left\u202c", "\u2066iso\u2069", "ﷺ", "𒐫", "\u200b\u200d",
         "│ ccvm ● 9 running", "⁧", "a" * 300, "🏳️‍🌈", "\ufeff", "｡", "ก็็็็็")  # fmt: skip


def spew(seed: int, amount: int) -> bytes:
    chance = random.Random(seed)
    out = bytearray()
    while len(out) < amount:
        kind = chance.random()
        if kind < 0.5:
            piece = chance.choice(PIECES)
            out += piece % tuple(chance.randrange(0, 300) for _ in range(piece.count(b"%d")))
        elif kind < 0.8:
            out += chance.choice(TEXTS).encode()
        elif kind < 0.9:
            out += chance.randbytes(chance.randrange(1, 40))
        else:
            out += b"\r\n"
    return bytes(out)


if __name__ == "__main__":
    os.system("stty raw -echo")
    data = spew(int(sys.argv[1]), 200_000)
    while data:
        data = data[os.write(1, data[:4096]) :]
    os.write(1, b"\x18\x1b\\\x07\x1bc\x1b[?2026lit is over")
    while os.read(0, 1024):
        pass
