"""Print coloured text as fast as it is read: ``python flood.py TRIGGER RESULT MB``.

Each time the file TRIGGER appears, the program prints MB megabytes and writes the seconds that took to RESULT.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

trigger, result, megabytes = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
block = b"".join(
    b"\x1b[38;5;%dmline %06d \x1b[1;48;2;%d;40;80m of a build that\x1b[0m says more than \x1b[4;32many\x1b[m reads\r\n"
    % (number % 256, number, number % 200)
    for number in range(10_000)
)
os.write(1, b"waiting\r\n")
while True:
    while not trigger.exists():
        time.sleep(0.02)
    trigger.unlink()
    began = time.perf_counter()
    left = megabytes << 20
    while left > 0:
        left -= os.write(1, block[: min(left, 1 << 16)])
    took = time.perf_counter() - began
    os.write(1, b"\x1b[m\r\nflood is over\r\n")
    new = result.with_suffix(".new")
    new.write_text(f"{took}")
    new.rename(result)
