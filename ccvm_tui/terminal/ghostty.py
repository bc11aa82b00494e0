"""The interface to libghostty-vt: its C declarations, ``ffi``, and the library, ``lib``, from the package pyghostty.

pyghostty parses 80 KB of C declarations in each process that imports it, which takes 150 ms and 3 MB. ``declarations``
contains the parsed ones of one version (``python -m tools.declarations``). Those of any other version are parsed.
"""

import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from ccvm_tui.terminal import declarations

__all__ = ["declared", "ffi", "lib", "parse_into", "source_digest"]

_TWINS: Final = """
typedef struct { uint16_t x; uint32_t y; uint64_t _pad; } GhosttyPointValueS;
typedef struct { GhosttyPointTag tag; GhosttyPointValueS value; } GhosttyPointS;
typedef struct { uint64_t row; uint64_t _pad; } GhosttyTerminalScrollViewportValueS;
typedef struct { GhosttyTerminalScrollViewportTag tag; GhosttyTerminalScrollViewportValueS value; }
    GhosttyTerminalScrollViewportS;
"""
"""Structs that are passed in place of unions, which cffi cannot pass by value. The calling convention is the same."""


def _package() -> Path:
    """Return the directory of pyghostty, without importing it."""
    spec = find_spec("pyghostty")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("No module named 'pyghostty'", name="pyghostty")
    return Path(spec.submodule_search_locations[0])


def _source() -> str:
    """Return pyghostty's module of C declarations."""
    return (_package() / "_cdef.py").read_text()


def source_digest() -> str:
    """Return the SHA-256 digest of all declarations, as hexadecimal digits."""
    return hashlib.sha256((_source() + _TWINS).encode()).hexdigest()


def parse_into(target: Any) -> None:
    """Parse all declarations into ``target``, an FFI of cffi."""
    from pyghostty._cdef import CDEF

    target.cdef(CDEF)
    target.cdef(_TWINS)


def declared() -> Any:
    """Return an FFI with all declarations, compiled ones if they are those of the installed pyghostty."""
    if source_digest() == declarations.SOURCE_DIGEST:
        return declarations.ffi
    from cffi import FFI

    parsed = FFI()
    parse_into(parsed)
    return parsed


ffi: Final[Any] = declared()
lib: Final[Any] = ffi.dlopen(str(_package() / "_lib/libghostty-vt.so"))

for _twin, _original in (
    ("GhosttyPointS", "GhosttyPoint"),
    ("GhosttyTerminalScrollViewportS", "GhosttyTerminalScrollViewport"),
):
    assert (ffi.sizeof(_twin), ffi.alignof(_twin)) == (ffi.sizeof(_original), ffi.alignof(_original))
