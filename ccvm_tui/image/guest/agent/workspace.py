"""The mounts of the host's directories: the project, at the same absolute path as on the host, and others."""

from __future__ import annotations

import os

from .files import make_directories, run
from .refresh import MOUNTED

_SAFE = "nosuid,nodev"
_LOCAL = "/run/ccvm/memory/local"
_READ_AHEAD_KIB = 1024


def mount(tag: str, path: str, writable: bool = True) -> None:
    """Mount the share ``tag`` at ``path``. Raises OSError if the mount fails."""
    make_directories(path)
    # The helper uses a separate mount, in which mounts over directories of the project do not hide them.
    os.makedirs(os.path.dirname(MOUNTED), 0o700, exist_ok=True)
    os.mkdir(MOUNTED)
    _mount("-t", "virtiofs", "-o", _SAFE, tag, MOUNTED)
    _mount("-o", "bind", MOUNTED, path)
    if not writable:
        _mount("-o", f"remount,bind,ro,{_SAFE}", path)
    _read_ahead(MOUNTED)


def make_empty(path: str, owner: tuple[int, int]) -> None:
    """Create the directory ``path``, in which the user clones the project."""
    make_directories(path)
    os.chown(path, *owner)


def mount_in_home(tag: str, path: str, owner: tuple[int, int]) -> None:
    """Mount the share ``tag`` at ``path`` in the user's home. Raises OSError if the mount fails."""
    make_directories(path, owner)
    _mount("-t", "virtiofs", "-o", _SAFE, tag, path)


def keep_local(project: str, name: str, owner: tuple[int, int]) -> None:
    """Mount a directory in the guest's memory over the directory ``name`` of the project.

    Raises OSError if ``name`` is not a directory or the mount fails.
    """
    path = f"{project}/{name}"
    if os.path.realpath(path) != path:
        raise NotADirectoryError("it is, or lies behind, a symbolic link")
    os.makedirs(path, exist_ok=True)
    local = f"{_LOCAL}/{name.replace('/', '-')}"
    while os.path.exists(local):
        local += "+"
    os.makedirs(_LOCAL, 0o755, exist_ok=True)
    os.mkdir(local, 0o755)
    os.chown(local, *owner)
    _mount("-o", "bind", local, path)


def _mount(*arguments: str) -> None:
    run("/usr/bin/busybox", "mount", *arguments)


def _read_ahead(path: str) -> None:
    """Set the read-ahead to the maximum size of a request."""
    device = os.stat(path).st_dev
    try:
        with open(f"/sys/class/bdi/{os.major(device)}:{os.minor(device)}/read_ahead_kb", "w") as file:
            file.write(str(_READ_AHEAD_KIB))
    except OSError:  # reading is then slower, but correct
        pass
