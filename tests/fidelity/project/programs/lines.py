"""Prints so many numbered lines in colours, every seventh longer than the terminal is wide.

A second argument is how many seconds to rest after every twentieth.
"""

import os
import sys
import time

count, rest = int(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 0
width = os.get_terminal_size(2).columns
for number in range(count):
    text = "wrapped " * (width // 6) if number % 7 == 3 else "漢é" * (number % 5)
    print(f"\x1b[3{number % 8}mline {number}\x1b[0m \x1b[4{number % 8};1m{text}\x1b[0m", flush=number % 20 == 0)
    if rest and number % 20 == 0:
        time.sleep(rest)
