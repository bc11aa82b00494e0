"""The file behind a guest's scratch disk.

The file has no name: it is created without one, or its name is removed at once. So the kernel frees its space when
QEMU and the keeper have ended, for whatever reason, even after a crash. It is sparse, and its content is encrypted with
a key that only the guest's kernel has.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from pathlib import Path

from ccvm_tui import paths
from ccvm_tui.errors import PrerequisiteError
from ccvm_tui.text import size_text

VOLATILE = ("tmpfs", "ramfs")
"""File systems in memory, on which a disk would have no purpose."""

_MOUNTS = Path("/proc/self/mountinfo")
_NO_TMPFILE = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL)


def create(size_gib: int, *, allow_tmpfs: bool) -> int:
    """Create a file of ``size_gib`` GiB in the cache directory, and return its descriptor.

    Raises PrerequisiteError if that is not possible, in particular if the directory is in memory.
    """
    directory = paths.scratch_dir()
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        kind = file_system(directory)
        if kind in VOLATILE and not allow_tmpfs:
            raise PrerequisiteError(
                f"the scratch disk would be in memory: {directory} is on a {kind}",
                "set XDG_CACHE_HOME to a directory on a disk, or CCVM_SCRATCH_ALLOW_TMPFS=1, or `vm_disk_size = 0`",
            )
        with contextlib.ExitStack() as on_failure:
            fd = _nameless(directory)
            on_failure.callback(os.close, fd)
            os.ftruncate(fd, size_gib << 30)
            on_failure.pop_all()
    except OSError as error:
        raise PrerequisiteError(
            f"the scratch disk cannot be created in {directory}: {error.strerror}",
            "free space there, set XDG_CACHE_HOME to another directory, or `vm_disk_size = 0`",
        ) from error
    return fd


def shortage(size_gib: int) -> str:
    """Return a warning if the file system has less space than the disk may need, or else an empty string."""
    free = shutil.disk_usage(paths.scratch_dir()).free
    if free >= size_gib << 30:
        return ""
    return f"the scratch disk has {size_gib} GiB, but only {size_text(free)} are free on this machine's disk"


def file_system(path: Path) -> str:
    """Return the type of the file system of ``path`` (proc(5), mountinfo), or an empty string if it is unknown."""
    device = path.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in _MOUNTS.read_text(errors="replace").splitlines():
        before, _, after = line.partition(" - ")
        if before.split()[2] == wanted:
            return after.split()[0]
    return ""


def _nameless(directory: Path) -> int:
    try:
        return os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno not in _NO_TMPFILE:
            raise
    fd, name = tempfile.mkstemp(prefix="disk-", dir=directory)
    Path(name).unlink()
    return fd
