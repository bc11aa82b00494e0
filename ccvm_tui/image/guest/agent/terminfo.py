"""Terminal descriptions that the guest lacks and the host has."""

from __future__ import annotations

import binascii
import os

from .files import make_directories, write

_PLACES = ("/etc/terminfo", "/lib/terminfo", "/usr/share/terminfo")


def known(name: str, places: tuple[str, ...] = _PLACES) -> bool:
    """Whether programs here find an entry of that name."""
    return any(os.path.exists(f"{place}/{name[:1]}/{name}") for place in places)


def install(name: str, data: str, places: tuple[str, ...] = _PLACES) -> bool:
    """Install the compiled entry ``data`` (base64) unless ``name`` is known already or ``data`` is empty.

    Returns whether it was installed.

    Raises ValueError for a name that could be more than a file name.
    """
    if not name or not name[0].isalnum() or not all(c.isalnum() or c in "+-._" for c in name):
        raise ValueError(f"not a terminal's name: {name!r}")
    if not data or known(name, places):
        return False
    folder = f"{places[0]}/{name[0]}"
    make_directories(folder)
    write(f"{folder}/{name}", binascii.a2b_base64(data))
    return True
