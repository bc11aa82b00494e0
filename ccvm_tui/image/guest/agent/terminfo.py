"""Installation of terminal descriptions from the host."""

from __future__ import annotations

import binascii
import os

from .files import make_directories, write

_PLACES = ("/etc/terminfo", "/lib/terminfo", "/usr/share/terminfo")


def known(name: str, places: tuple[str, ...] = _PLACES) -> bool:
    """Return whether the guest has a terminfo entry ``name``."""
    return any(os.path.exists(f"{place}/{name[:1]}/{name}") for place in places)


def install(name: str, data: str, places: tuple[str, ...] = _PLACES) -> bool:
    """Install the compiled entry ``data`` (base64) unless ``name`` is known or ``data`` is empty.

    Returns whether the entry was installed. Raises ValueError if the name is not a plain file name.
    """
    if not name or not name[0].isalnum() or not all(c.isalnum() or c in "+-._" for c in name):
        raise ValueError(f"not a terminal's name: {name!r}")
    if not data or known(name, places):
        return False
    folder = f"{places[0]}/{name[0]}"
    make_directories(folder)
    write(f"{folder}/{name}", binascii.a2b_base64(data))
    return True
