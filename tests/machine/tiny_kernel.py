"""Kernels of a few bytes that print a text on the first serial port and then do one thing.

A kernel is a 64-bit ELF with a PVH entry point (Xen's docs/misc/pvh.pandoc): QEMU starts it in 32-bit protected mode
with flat segments and paging off. It boots in a tenth of a second and needs no image.
"""

from __future__ import annotations

import struct
from enum import Enum
from pathlib import Path

LOAD = 0x100000
_HEADERS = 64 + 2 * 56
_NOTE = struct.pack("<III4sI", 4, 4, 18, b"Xen\0", LOAD)  # XEN_ELFNOTE_PHYS32_ENTRY


class Then(Enum):
    """The machine code that runs after the text was printed."""

    HANG = b"\xf4\xeb\xfd"  # hlt; jmp back to it
    RESET = b"\x0f\x01\x1d\x00\x00\x00\x00\xcc"  # an empty interrupt table and an interrupt: a triple fault
    REPEAT = b"\xe9"


def tiny_kernel(path: Path, text: str, then: Then = Then.HANG) -> Path:
    """Write the kernel to ``path`` and return it."""
    start = b"\xfc\xbe%s\x66\xba\xf8\x03"  # cld; mov esi, text; mov dx, 0x3f8
    loop = b"\xac\x84\xc0\x74\x03\xee\xeb\xf8"  # lodsb; test al, al; jz end; out dx, al; jmp lodsb
    end = then.value
    prologue = len(start) + 2
    if then is Then.REPEAT:
        end += struct.pack("<i", -(prologue + len(loop) + 5))
    body = start % struct.pack("<I", LOAD + prologue + len(loop) + len(end)) + loop + end + text.encode() + b"\0"
    note_at = _HEADERS
    body_at = note_at + len(_NOTE)
    ident = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    header = ident + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, LOAD, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    load = struct.pack("<IIQQQQQQ", 1, 7, body_at, LOAD, LOAD, len(body), len(body), 1)
    note = struct.pack("<IIQQQQQQ", 4, 4, note_at, 0, 0, len(_NOTE), len(_NOTE), 4)
    path.write_bytes(header + load + note + _NOTE + body)
    return path
