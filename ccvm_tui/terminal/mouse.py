"""Encoding of mouse events in the format that the program has requested. Source: xterm's ctlseqs, "Mouse Tracking"."""

from typing import Final

from ccvm_tui.terminal.cells import Modes

SHIFT, META, CONTROL, MOTION = 4, 8, 16, 32
"""Bits of a button code in addition to the button."""

LEFT, MIDDLE, RIGHT, NONE = 0, 1, 2, 3
WHEEL_UP, WHEEL_DOWN, WHEEL_LEFT, WHEEL_RIGHT = 64, 65, 66, 67
"""Buttons of a button code."""

_MODIFIERS: Final = SHIFT | META | CONTROL
_BYTE_MAX: Final = 255 - 32
_UTF8_MAX: Final = 2047 - 32


def encode_mouse(code: int, x: int, y: int, pressed: bool, modes: Modes, cell: tuple[int, int] = (8, 16)) -> bytes:
    """Return the report of a mouse event; empty if the program did not request it or its encoding cannot express it.

    ``code`` is xterm's button code: a button (``NONE`` for motion without a button) plus the bits ``SHIFT``, ``META``,
    ``CONTROL`` and ``MOTION``. ``x`` and ``y`` are cells, from 0. ``cell`` is the size of a cell in pixels, for reports
    in pixels.
    """
    if not _wanted(code, pressed, modes.mouse):
        return b""
    if modes.mouse == 9:
        code &= ~_MODIFIERS
    x, y = max(0, x), max(0, y)
    match modes.mouse_encoding:
        case 1006:
            return f"\x1b[<{code};{x + 1};{y + 1}{'M' if pressed else 'm'}".encode()
        case 1016:
            px, py = x * cell[0] + cell[0] // 2, y * cell[1] + cell[1] // 2
            return f"\x1b[<{code};{px};{py}{'M' if pressed else 'm'}".encode()
    if not pressed:
        # These encodings do not report which button was released.
        code = code & ~3 | NONE
    match modes.mouse_encoding:
        case 1015:
            return f"\x1b[{code + 32};{x + 1};{y + 1}M".encode()
        case 1005:
            if x >= _UTF8_MAX or y >= _UTF8_MAX:
                return b""
            return b"\x1b[M" + "".join(chr(value) for value in (code + 32, x + 33, y + 33)).encode()
    if x >= _BYTE_MAX or y >= _BYTE_MAX or code > _BYTE_MAX:
        return b""
    return b"\x1b[M" + bytes((code + 32, x + 33, y + 33))


def _wanted(code: int, pressed: bool, mode: int) -> bool:
    button = code & ~(_MODIFIERS | MOTION)
    if code & MOTION:
        return mode == 1003 or (mode == 1002 and button != NONE)
    if mode == 9:
        return pressed and button in (LEFT, MIDDLE, RIGHT)
    return mode in (1000, 1002, 1003)
