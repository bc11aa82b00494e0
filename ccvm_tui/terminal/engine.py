"""Low-level calls into libghostty-vt, on which the rest of the package builds.

The library's interface is untyped, so no other package uses it. A failed call raises EngineError. A bug in the library
can crash the process, so only the screen process, which can be restarted, may import this module.
"""

import json
from typing import Any, Final

from ccvm_tui.errors import CcvmError
from ccvm_tui.terminal.ghostty import ffi, lib

Handle = Any
"""A GhosttyTerminal; pointers of cffi have no static type."""

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
    """A call of libghostty-vt failed; ``result`` is its GhosttyResult."""

    def __init__(self, call: str, result: int) -> None:
        super().__init__(f"{call}: ghostty result {result}")
        self.result = result


def check(result: int, call: str) -> None:
    """Raise EngineError unless ``result`` is GHOSTTY_SUCCESS."""
    if result:
        raise EngineError(call, result)


def _cell_bits() -> dict[str, Any]:
    description = json.loads(ffi.string(lib.ghostty_type_json()))
    bits: dict[str, Any] = description["types"]["GhosttyCell"]["bits"]
    return bits


class CellLayout:
    """Bit positions inside a packed 64-bit cell. The library's headers say not to hardcode them, so ask the library."""

    _bits = _cell_bits()
    TAG: Final[int] = _bits["content_tag"]["lsb"]
    CONTENT: Final[int] = _bits["content"]["lsb"]
    CONTENT_WIDTH: Final[int] = _bits["content"]["width"]
    CODEPOINT_WIDTH: Final[int] = _bits["content"]["arms"]["CODEPOINT"]["bits"]["codepoint"]["width"]
    STYLE: Final[int] = _bits["style_id"]["lsb"]
    STYLE_WIDTH: Final[int] = _bits["style_id"]["width"]
    WIDE: Final[int] = _bits["wide"]["lsb"]
    LINK: Final[int] = _bits["hyperlink"]["lsb"]

    # The arithmetic in ``rows`` relies on this layout. A library with another layout must fail here.
    assert _bits["content"]["arms"]["CODEPOINT"]["bits"]["codepoint"]["lsb"] == 0
    assert _bits["content_tag"]["width"] == 2
    assert _bits["wide"]["width"] == 2
    assert STYLE_WIDTH == 16
    assert 16 <= LINK - STYLE < 20


def new_terminal(cols: int, rows: int) -> Handle:
    """Create a terminal. Raises EngineError if memory is short or the size is invalid."""
    out = ffi.new("GhosttyTerminal*")
    check(lib.ghostty_terminal_new(ffi.NULL, out, cols, rows), "terminal_new")
    return out[0]


def set_option(terminal: Handle, option: str, value: Any) -> None:
    """Call ``ghostty_terminal_set``. ``option`` is the suffix of a GHOSTTY_TERMINAL_OPT_ constant.

    Raises EngineError if the library rejects the value.
    """
    code = getattr(lib, f"GHOSTTY_TERMINAL_OPT_{option}")
    check(lib.ghostty_terminal_set(terminal, code, value), f"set {option}")


def set_default_mode(terminal: Handle, number: int) -> None:
    """Set a DEC private mode, now and after every reset."""
    config = ffi.new("GhosttyTerminalModeConfig*", {"mode": number, "value": True})
    set_option(terminal, "MODE_DEFAULT", config)


def get_number(terminal: Handle, key: str, ctype: str) -> int:
    """Read a number with ``ghostty_terminal_get``. ``key`` is the suffix of a GHOSTTY_TERMINAL_DATA_ constant.

    Raises EngineError if the call fails.
    """
    out = ffi.new(f"{ctype}*")
    check(lib.ghostty_terminal_get(terminal, getattr(lib, f"GHOSTTY_TERMINAL_DATA_{key}"), out), f"get {key}")
    return int(out[0])


def get_string(terminal: Handle, key: str) -> str:
    """Read a copy of a string with ``ghostty_terminal_get``; empty if the terminal has none."""
    out = ffi.new("GhosttyString*")
    if lib.ghostty_terminal_get(terminal, getattr(lib, f"GHOSTTY_TERMINAL_DATA_{key}"), out) or not out.len:
        return ""
    return bytes(ffi.buffer(out.ptr, out.len)).decode("utf-8", "replace")


def get_colour(terminal: Handle, key: str) -> int:
    """Read a colour as 0xrrggbb with ``ghostty_terminal_get``; -1 if it is not set."""
    out = ffi.new("GhosttyColorRgb*")
    if lib.ghostty_terminal_get(terminal, getattr(lib, f"GHOSTTY_TERMINAL_DATA_{key}"), out):
        return -1
    return int(out.r) << 16 | int(out.g) << 8 | int(out.b)


def string_bytes(string: Any) -> bytes:
    """Return the content of a GhosttyString."""
    return bytes(ffi.buffer(string.ptr, string.len)) if string.len else b""


def sized(ctype: str) -> Any:
    """Create a struct and fill in its ``size`` fields and those of its nested structs, as the library expects."""
    out = ffi.new(f"{ctype}*")
    _fill_sizes(out)
    return out


def _fill_sizes(pointer: Any) -> None:
    for name, field in ffi.typeof(pointer).item.fields:
        if name == "size":
            pointer.size = ffi.sizeof(ffi.typeof(pointer).item)
        elif field.type.kind == "struct":
            _fill_sizes(ffi.addressof(pointer[0], name))


# The names with an S at the end are the structs that replace unions; see ``ghostty``.
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

_scroll_viewport = ffi.cast(
    "void(*)(GhosttyTerminal, GhosttyTerminalScrollViewportS)", ffi.addressof(lib, "ghostty_terminal_scroll_viewport")
)

ACTIVE: Final = 0
VIEWPORT: Final = 1
SCREEN: Final = 2
HISTORY: Final = 3
"""Coordinate systems: the active screen, the viewport, scrollback and screen together, the scrollback alone."""


def point(system: int, x: int, y: int) -> Any:
    """Return a GhosttyPoint by value."""
    out = ffi.new("GhosttyPointS*")
    out.tag = system
    out.value.x, out.value.y = x, y
    return out[0]


def grid_ref(terminal: Handle, system: int, x: int, y: int) -> Any:
    """Return a reference to a cell, valid until the terminal changes. Raises EngineError if the cell does not exist."""
    out = sized("GhosttyGridRef")
    check(_grid_ref(terminal, point(system, x, y), out), "grid_ref")
    return out


def scroll_to(terminal: Handle, line: int) -> None:
    """Scroll the viewport so that it starts at a line, or as near as possible.

    ``line`` is an index into scrollback and screen.
    """
    target = ffi.new("GhosttyTerminalScrollViewportS*")
    target.tag = lib.GHOSTTY_SCROLL_VIEWPORT_ROW
    target.value.row = line
    _scroll_viewport(terminal, target[0])


def scroll_to_bottom(terminal: Handle) -> None:
    """Scroll the viewport back to the screen."""
    target = ffi.new("GhosttyTerminalScrollViewportS*")
    target.tag = lib.GHOSTTY_SCROLL_VIEWPORT_BOTTOM
    _scroll_viewport(terminal, target[0])


def link_at(reference: Any) -> str:
    """Return the address of a cell's link (OSC 8), or "" if there is none or it is not ASCII, as OSC 8 requires."""
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
    """A tracked reference to a line of the scrollback, valid until the library drops the line."""

    def __init__(self, terminal: Handle, y: int) -> None:
        out = ffi.new("GhosttyTrackedGridRef*")
        check(_grid_ref_track(terminal, point(HISTORY, 0, y), out), "grid_ref_track")
        self._ref = out[0]
        self._terminal = terminal
        self._coordinate = ffi.new("GhosttyPointCoordinate*")

    def move(self, y: int) -> None:
        """Move the reference to line ``y`` of the scrollback."""
        check(_tracked_set(self._ref, self._terminal, point(HISTORY, 0, y)), "tracked_grid_ref_set")

    def line(self) -> int | None:
        """Return the line's index into scrollback and screen, or None if it was dropped."""
        if not lib.ghostty_tracked_grid_ref_has_value(self._ref):
            return None
        if lib.ghostty_tracked_grid_ref_point(self._ref, SCREEN, self._coordinate):
            return None
        return int(self._coordinate.y)

    def free(self) -> None:
        """Free the reference. Call this before the terminal is freed."""
        lib.ghostty_tracked_grid_ref_free(self._ref)
