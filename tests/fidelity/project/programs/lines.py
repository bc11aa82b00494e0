"""Print numbered lines in colours, of which every seventh is wrapped.

The first argument is the number of lines, the second the seconds to sleep after every twentieth line.
"""

import os
import sys
import time

count, pause = int(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 0
width = os.get_terminal_size(2).columns
for number in range(count):
    text = "wrapped " * (width // 6) if number % 7 == 3 else "漢é" * (number % 5)
    print(f"\x1b[3{number % 8}mline {number}\x1b[0m \x1b[4{number % 8};1m{text}\x1b[0m", flush=number % 20 == 0)
    if pause and number % 20 == 0:
        time.sleep(pause)
