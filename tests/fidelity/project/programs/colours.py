"""Print every colour and rendition over the full width, with terminfo where it has a capability."""

import curses
import os

curses.setupterm()
width = os.get_terminal_size().columns


def cap(name: str, *parameters: int) -> str:
    return curses.tparm(curses.tigetstr(name) or b"", *parameters).decode()


reset = cap("sgr0")
print(
    "".join(cap("setab", n) + f"{n:x}" for n in range(16)) + reset + "".join(cap("setaf", n) + "#" for n in range(16))
)
print("".join(cap("setab", n) + " " for n in range(16, 16 + min(width, 240))) + reset)
print("".join(cap("setaf", 255 - n) + "▀" for n in range(min(width, 240))) + reset)
print("".join(f"\x1b[48;2;{n * 255 // width};80;{255 - n * 255 // width}m " for n in range(width)), end=reset + "\r\n")
print("".join(f"\x1b[38:2::{n * 5 % 256}:{n * 3 % 256}:90m{n % 10}" for n in range(width - 1)) + reset)
for name in ("bold", "dim", "sitm", "smul", "blink", "rev", "invis", "smso"):
    print(cap(name) + name + reset, end=" ")
print()
for code in ("9", "53", "4:2", "4:3", "4:4", "4:5", "4:3;58:2::255:0:0", "4;58:5:33", "1;2;3;4;7;9;91;44"):
    print(f"\x1b[{code}m{code}{reset}", end=" ")
print(f"\n\x1b[42m to the edge\x1b[K{reset}\n\x1b[1;35;7mleft on for what comes next ", end="")
