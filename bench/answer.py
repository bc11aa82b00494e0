"""Answer every byte with a counter at the start of the line, for measurements of latency."""

from __future__ import annotations

import os
import sys
import tty

tty.setraw(0)
os.write(1, b"\x1b[2J\x1b[Hready\r\n")
count = 0
while os.read(0, 1):
    count += 1
    os.write(1, b"\r<%06d>" % count)
sys.exit(0)
