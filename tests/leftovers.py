"""The terminal state that a program can leave behind, and a program that leaves all of it behind."""

from __future__ import annotations

from ccvm_tui.terminal.emulator import Emulator

MODES = (1, 5, 6, 7, 9, 12, 25, 45, 66, 67, 69, 1000, 1002, 1003, 1004, 1005, 1006, 1007, 1015, 1016, 1035, 1036, 1039,
         1045, 1047, 1049, 47, 2004, 2026, 2031, 2048)  # fmt: skip
ANSI_MODES = (4, 20)

_SETS = "".join(f"\\033[?{mode}h" for mode in (1, 5, 45, 66, 67, 1003, 1004, 1006, 1016, 1039, 2004, 2031, 2048))
MESS = (
    f"printf '\\033[>5u\\033[=31;1u\\033[>4;2m\\033[5 q{_SETS}\\033[?1007l\\033[?1036l\\033[4h\\033[20h"
    "\\033]4;1;#123456\\007\\033]10;#111111\\007\\033]11;#222222\\007\\033]12;#333333\\007\\033]2;its title\\007"
    "\\033[?1049h\\033[>9u\\033[3;10r\\033[?6h\\033[?25l\\033[?7l\\033(0\\033[1;4;35m\\033]8;;http://x\\007MESSY'"
)
"""A shell command that changes every state. Each of the two screens has its own keyboard flags."""


def leftovers(emulator: Emulator) -> dict[str, object]:
    """Return the state that differs from a new terminal, except the title, of which this emulator has no stack."""
    fresh = Emulator(emulator.size)
    try:
        now, new = state_of(emulator), state_of(fresh)
        return {name: value for name, value in now.items() if value != new[name]}
    finally:
        fresh.close()


def state_of(emulator: Emulator) -> dict[str, object]:
    """Return the state of a terminal, except its text and the cursor's position."""
    emulator.refresh(everything=True)
    cursor, pen = emulator.cursor(), emulator.pen()
    state: dict[str, object] = {f"mode {mode}": emulator.mode(mode) for mode in MODES}
    state |= {f"ANSI mode {mode}": emulator.mode(mode, ansi=True) for mode in ANSI_MODES}
    state |= {"alternate": emulator.alternate, "modifyOtherKeys": emulator.other_keys.level}
    state |= {"shape": (cursor.shape, cursor.blink), "colours": emulator.colours()}
    without_ascii = pen.sequences.replace(b"\x1b(B\x1b)B", b"")
    state |= {"pen": without_ascii, "tab stops": pen.tab_stops, "margins": pen.region}
    state["keyboard flags"] = emulator.modes().kitty
    copy = emulator.copy()
    try:
        copy.feed(b"\x1b[?1047l" if emulator.alternate else b"\x1b[?1047h")
        state["keyboard flags of the other screen"] = copy.modes().kitty
    finally:
        copy.close()
    return state
