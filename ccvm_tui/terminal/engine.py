"""The raw calls into libghostty-vt that the rest of the package builds on.

Everything untyped about the library stays in this file and in its neighbours `rows`, `callbacks` and `snapshot`.
A broken call raises `EngineError`; a bug inside the library kills the process, which is why only the expendable
screen process may import this.
"""

import json
from typing import Any, Final

from pyghostty._ffi import ffi, lib

from ccvm_tui.errors import CcvmError

Handle = Any  # a GhosttyTerminal: cffi's pointers have no static type

__all__ = [
    "ACTIVE",
    "HISTORY",
    "SCREEN",
    "VIEWPORT",
    "CellLayout",
    "EngineError",
    "Handle",
    "Pin",
    "check",
    "ffi",
    "get_colour",
    "get_number",
    "get_string",
    "grid_ref",
    "lib",
    "link_at",
    "new_terminal",
    "scroll_to",
    "scroll_to_bottom",
    "set_option",
    "sized",
    "string_bytes",
]


class EngineError(CcvmError):
    """libghostty-vt refused a call; `result` is its GhosttyResult."""

    def __init__(self, call: str, result: int) -> None:
        super().__init__(f"{call}: ghostty result {result}")
        self.result = result


def check(result: int, call: str) -> None:
    """Raise `EngineError` unless the library said GHOSTTY_SUCCESS."""
    if result:
        raise EngineError(call, result)


def _cell_bits() -> dict[str, Any]:
    description = json.loads(ffi.string(lib.ghostty_type_json()))
    bits: dict[str, Any] = description["types"]["GhosttyCell"]["bits"]
    return bits


class CellLayout:
    """Bit positions inside a packed 64-bit cell, asked from the library: its headers forbid hardcoding them."""

    _bits = _cell_bits()
    TAG: Final[int] = _bits["content_tag"]["lsb"]
    CONTENT: Final[int] = _bits["content"]["lsb"]
    CONTENT_WIDTH: Final[int] = _bits["content"]["width"]
    CODEPOINT_WIDTH: Final[int] = _bits["content"]["arms"]["CODEPOINT"]["bits"]["codepoint"]["width"]
    STYLE: Final[int] = _bits["style_id"]["lsb"]
    STYLE_WIDTH: Final[int] = _bits["style_id"]["width"]
    WIDE: Final[int] = _bits["wide"]["lsb"]
    LINK: Final[int] = _bits["hyperlink"]["lsb"]

    # What the arithmetic in `rows` relies on. A library that packs its cells otherwise must fail here.
    assert _bits["content"]["arms"]["CODEPOINT"]["bits"]["codepoint"]["lsb"] == 0
    assert _bits["content_tag"]["width"] == 2
    assert _bits["wide"]["width"] == 2
    assert STYLE_WIDTH == 16
    assert 16 <= LINK - STYLE < 20


def new_terminal(cols: int, rows: int) -> Handle:
    """A fresh terminal of that many cells.

    Raises:
        EngineError: no memory, or an impossible size.
    """
    out = ffi.new("GhosttyTerminal*")
    check(lib.ghostty_terminal_new(ffi.NULL, out, cols, rows), "terminal_new")
    return out[0]


def set_option(terminal: Handle, option: str, value: Any) -> None:
    """`ghostty_terminal_set`; `option` is the suffix of a GHOSTTY_TERMINAL_OPT_ constant."""
    code = getattr(lib, f"GHOSTTY_TERMINAL_OPT_{option}")
    check(lib.ghostty_terminal_set(terminal, code, value), f"set {option}")


def set_default_mode(terminal: Handle, number: int) -> None:
    """Turn a DEC mode on, now and after every reset."""
    config = ffi.new("GhosttyTerminalModeConfig*", {"mode": number, "value": True})
    set_option(terminal, "MODE_DEFAULT", config)


def get_number(terminal: Handle, key: str, ctype: str) -> int:
    """A number by `ghostty_terminal_get`; `key` is the suffix of a GHOSTTY_TERMINAL_DATA_ constant."""
    out = ffi.new(f"{ctype}*")
    check(lib.ghostty_terminal_get(terminal, getattr(lib, f"GHOSTTY_TERMINAL_DATA_{key}"), out), f"get {key}")
    return int(out[0])


def get_string(terminal: Handle, key: str) -> str:
    """A borrowed string by `ghostty_terminal_get`, copied; empty when the terminal has none."""
    out = ffi.new("GhosttyString*")
    if lib.ghostty_terminal_get(terminal, getattr(lib, f"GHOSTTY_TERMINAL_DATA_{key}"), out) or not out.len:
        return ""
    return bytes(ffi.buffer(out.ptr, out.len)).decode("utf-8", "replace")


def get_colour(terminal: Handle, key: str) -> int:
    """A colour as 0xrrggbb by `ghostty_terminal_get`, or -1 when it is not set."""
    out = ffi.new("GhosttyColorRgb*")
    if lib.ghostty_terminal_get(terminal, getattr(lib, f"GHOSTTY_TERMINAL_DATA_{key}"), out):
        return -1
    return int(out.r) << 16 | int(out.g) << 8 | int(out.b)


def string_bytes(string: Any) -> bytes:
    """The content of a GhosttyString."""
    return bytes(ffi.buffer(string.ptr, string.len)) if string.len else b""


def sized(ctype: str) -> Any:
    """A struct whose `size` fields, nested ones too, are filled in as the library expects."""
    out = ffi.new(f"{ctype}*")
    _fill_sizes(out)
    return out


def _fill_sizes(pointer: Any) -> None:
    for name, field in ffi.typeof(pointer).item.fields:
        if name == "size":
            pointer.size = ffi.sizeof(ffi.typeof(pointer).item)
        elif field.type.kind == "struct":
            _fill_sizes(ffi.addressof(pointer[0], name))


# cffi cannot pass a union by value; pyghostty declares struct twins with the same calling convention.
_grid_ref = ffi.cast(
    "GhosttyResult(*)(GhosttyTerminal, GhosttyPointS, GhosttyGridRef*)",
    ffi.addressof(lib, "ghostty_terminal_grid_ref"),
)
_grid_ref_track = ffi.cast(
    "GhosttyResult(*)(GhosttyTerminal, GhosttyPointS, GhosttyTrackedGridRef*)",
    ffi.addressof(lib, "ghostty_terminal_grid_ref_track"),
)
_tracked_set = ffi.cast(
    "GhosttyResult(*)(GhosttyTrackedGridRef, GhosttyTerminal, GhosttyPointS)",
    ffi.addressof(lib, "ghostty_tracked_grid_ref_set"),
)

ffi.cdef(
    "typedef struct { GhosttyTerminalScrollViewportTag tag; struct { uint64_t row; uint64_t _pad; } value; }"
    " GhosttyTerminalScrollViewportS;"
)
assert ffi.sizeof("GhosttyTerminalScrollViewportS") == ffi.sizeof("GhosttyTerminalScrollViewport")
_scroll_viewport = ffi.cast(
    "void(*)(GhosttyTerminal, GhosttyTerminalScrollViewportS)", ffi.addressof(lib, "ghostty_terminal_scroll_viewport")
)

ACTIVE: Final = 0
VIEWPORT: Final = 1
SCREEN: Final = 2
HISTORY: Final = 3
"""Coordinate systems: the part the program writes to, what is shown, scrollback and screen, scrollback alone."""


def point(system: int, x: int, y: int) -> Any:
    """A GhosttyPoint by value."""
    out = ffi.new("GhosttyPointS*")
    out.tag = system
    out.value.x, out.value.y = x, y
    return out[0]


def grid_ref(terminal: Handle, system: int, x: int, y: int) -> Any:
    """A reference to a cell, good until the terminal changes.

    Raises:
        EngineError: there is no such cell.
    """
    out = sized("GhosttyGridRef")
    check(_grid_ref(terminal, point(system, x, y), out), "grid_ref")
    return out


def scroll_to(terminal: Handle, line: int) -> None:
    """Put the viewport's first row on a line, by index into scrollback and screen, as far as that is possible."""
    target = ffi.new("GhosttyTerminalScrollViewportS*")
    target.tag = lib.GHOSTTY_SCROLL_VIEWPORT_ROW
    target.value.row = line
    _scroll_viewport(terminal, target[0])


def scroll_to_bottom(terminal: Handle) -> None:
    """Put the viewport back onto the screen."""
    target = ffi.new("GhosttyTerminalScrollViewportS*")
    target.tag = lib.GHOSTTY_SCROLL_VIEWPORT_BOTTOM
    _scroll_viewport(terminal, target[0])


def link_at(reference: Any) -> str:
    """The address of OSC 8 in a cell, or "" for none and for addresses that are not plain ASCII as OSC 8 demands."""
    needed = ffi.new("size_t*")
    size = 512
    for _ in range(2):
        buffer = ffi.new("uint8_t[]", size)
        result = lib.ghostty_grid_ref_hyperlink_uri(reference, buffer, size, needed)
        if result == lib.GHOSTTY_OUT_OF_SPACE:
            size = needed[0]
            continue
        if result:
            return ""
        address = bytes(ffi.buffer(buffer, needed[0])).decode("latin-1")
        return address if address.isascii() and address.isprintable() else ""
    return ""


class Pin:
    """A tracked reference to a line of the scrollback: it follows its line until that is dropped."""

    def __init__(self, terminal: Handle, y: int) -> None:
        out = ffi.new("GhosttyTrackedGridRef*")
        check(_grid_ref_track(terminal, point(HISTORY, 0, y), out), "grid_ref_track")
        self._ref = out[0]
        self._terminal = terminal
        self._coordinate = ffi.new("GhosttyPointCoordinate*")

    def move(self, y: int) -> None:
        """Point at line `y` of the scrollback from now on."""
        check(_tracked_set(self._ref, self._terminal, point(HISTORY, 0, y)), "tracked_grid_ref_set")

    def line(self) -> int | None:
        """The line's index in scrollback and screen together, or None once it was dropped."""
        if not lib.ghostty_tracked_grid_ref_has_value(self._ref):
            return None
        if lib.ghostty_tracked_grid_ref_point(self._ref, SCREEN, self._coordinate):
            return None
        return int(self._coordinate.y)

    def free(self) -> None:
        """Give the reference back; before the terminal is freed."""
        lib.ghostty_tracked_grid_ref_free(self._ref)
