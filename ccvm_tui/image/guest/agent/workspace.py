"""The project's directory, at the same absolute path as on the host."""

from __future__ import annotations

import os

from .files import make_directories, run

# cache=mmap is the one mode in which shared writable mappings work (SQLite's WAL) while everything else goes to
# the host each time, so that what changes there is seen here.
_9P = "trans=virtio,version=9p2000.L,msize=512000,cache=mmap"
_SAFE = "nosuid,nodev"
_LOWER = "/run/ccvm/lower"
_EDITS = "/run/ccvm/memory/edits"
"""In the one file system in memory that has all that programs write; see the initrd."""

_CHANGED = f"{_EDITS}/files"


def mount(tag: str, path: str, read_only: bool, owner: tuple[int, int]) -> None:
    """Mount the share ``tag`` at ``path``; with ``read_only`` under an overlay that keeps edits in memory.

    Raises OSError when it cannot be mounted.
    """
    make_directories(path)
    if not read_only:
        _mount("9p", f"{_9P},{_SAFE}", tag, path)
        return
    for directory in (_LOWER, _EDITS):
        make_directories(directory)
        os.chmod(directory, 0o700)
    _mount("9p", f"{_9P},{_SAFE},ro", tag, _LOWER)
    os.mkdir(_CHANGED)
    os.mkdir(f"{_EDITS}/work")
    lower = os.stat(_LOWER)
    os.chown(_CHANGED, lower.st_uid, lower.st_gid)
    os.chmod(_CHANGED, lower.st_mode & 0o7777)
    _mount("overlay", f"lowerdir={_LOWER},upperdir={_CHANGED},workdir={_EDITS}/work,{_SAFE}", "workspace", path)


def edits(most: int = 200, changed: str = _CHANGED) -> tuple[int, list[str]]:
    """How many files of a read-only workspace were changed, made or deleted, and the names of the first ``most``,
    relative to the workspace."""
    count = 0
    names: list[str] = []
    for folder, _, files in os.walk(changed):
        for file in sorted(files):  # a deleted one is a device here, which os.walk counts among the files
            count += 1
            if len(names) < most:
                names.append(os.path.relpath(f"{folder}/{file}", changed))
    return count, names


def _mount(kind: str, options: str, source: str, target: str) -> None:
    run("/usr/bin/busybox", "mount", "-t", kind, "-o", options, source, target)
