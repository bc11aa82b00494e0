"""Terminal descriptions that the guest lacks and the host has."""

from __future__ import annotations

import binascii
import os

from .files import make_directories, write

_PLACES = ("/etc/terminfo", "/lib/terminfo", "/usr/share/terminfo")


def install(name: str, data: str, places: tuple[str, ...] = _PLACES) -> bool:
    """Install the compiled entry ``data`` (base64) unless ``name`` is known already; returns whether it was new.

    Raises ValueError for a name that could be more than a file name.
    """
    if not name or not name[0].isalnum() or not all(c.isalnum() or c in "+-._" for c in name):
        raise ValueError(f"not a terminal's name: {name!r}")
    if any(os.path.exists(f"{place}/{name[0]}/{name}") for place in places):
        return False
    folder = f"{places[0]}/{name[0]}"
    make_directories(folder)
    write(f"{folder}/{name}", binascii.a2b_base64(data))
    return True
