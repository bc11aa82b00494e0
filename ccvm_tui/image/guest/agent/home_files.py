"""Files sent by the host: the user's configuration, for the home in memory."""

from __future__ import annotations

import binascii
import os

from .account import HOME, User
from .files import make_directories, write

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from typing import Any

_PATH = ("/usr/local/bin", "/usr/bin", "/bin")


def place(files: list[dict[str, Any]], user: User) -> None:
    """Write the files that precede a ``configure`` message. The user owns those in the home.

    Raises KeyError or ValueError if an entry is malformed, OSError if a file cannot be written.
    """
    for file in files:
        if not _is_installed(str(file.get("needs", ""))):
            continue
        path = str(file["path"])
        in_home = path.startswith("~/")
        if in_home:
            path = HOME + path[1:]
        if not os.path.isabs(path) or ".." in path.split("/"):
            raise ValueError(f"not a path for a file: {path}")
        owner = user.owner if in_home or file.get("owner") == "user" else (0, 0)
        data = binascii.a2b_base64(file["data"])
        make_directories(os.path.dirname(path), owner)
        if file.get("append") and os.path.exists(path):
            with open(path, "rb") as existing:
                data = existing.read() + data
        write(path, data, int(file.get("mode", 0o644)), owner)


def _is_installed(program: str) -> bool:
    """Return whether the path or name ``program`` is that of an executable. An empty name always is."""
    if "/" in program or not program:
        return not program or os.access(program, os.X_OK)
    return any(os.access(f"{directory}/{program}", os.X_OK) for directory in _PATH)
