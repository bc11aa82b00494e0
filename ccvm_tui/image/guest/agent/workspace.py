"""The project's directory, at the same absolute path as on the host."""

from __future__ import annotations

import os

from .files import make_directories, run
from .refresh import MOUNTED

_SAFE = "nosuid,nodev"
_LOCAL = "/run/ccvm/memory/local"
_READ_AHEAD_KIB = 1024


def mount(tag: str, path: str) -> None:
    """Mount the share ``tag`` at ``path``. Raises OSError when it cannot be mounted."""
    make_directories(path)
    # The helper has a mount of its own, in which nothing that is mounted over the project is in its way.
    os.makedirs(os.path.dirname(MOUNTED), 0o700, exist_ok=True)
    os.mkdir(MOUNTED)
    _mount("-t", "virtiofs", "-o", _SAFE, tag, MOUNTED)
    _mount("-o", "bind", MOUNTED, path)
    _read_ahead(MOUNTED)


def keep_local(project: str, name: str, owner: tuple[int, int]) -> None:
    """Put a directory of this guest's own over ``name`` of the project. Raises OSError when it is no directory."""
    path = f"{project}/{name}"
    if os.path.realpath(path) != path:
        raise NotADirectoryError("it is, or lies behind, a symbolic link")
    os.makedirs(path, exist_ok=True)
    kept = f"{_LOCAL}/{name.replace('/', '-')}"
    while os.path.exists(kept):
        kept += "+"
    os.makedirs(_LOCAL, 0o755, exist_ok=True)
    os.mkdir(kept, 0o755)
    os.chown(kept, *owner)
    _mount("-o", "bind", kept, path)


def _mount(*arguments: str) -> None:
    run("/usr/bin/busybox", "mount", *arguments)


def _read_ahead(path: str) -> None:
    """Read as much ahead as one request may carry."""
    device = os.stat(path).st_dev
    try:
        with open(f"/sys/class/bdi/{os.major(device)}:{os.minor(device)}/read_ahead_kb", "w") as file:
            file.write(str(_READ_AHEAD_KIB))
    except OSError:  # slower, but not wrong
        pass
