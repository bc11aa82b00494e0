"""The commits of an attempt in the host's repository: one pack, and references below ``refs/ccvm``.

The repository is in a project to which other guests can write. So every directory is opened by its name in the
directory above it, a symbolic link is an error, and files are created under a new name and renamed, as Git does it.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ccvm_tui.errors import UserError

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def install_pack(project: str, pack: Path, index: Path) -> None:
    """Copy a pack and its index into the repository of ``project``. Raises UserError if that fails.

    The index is copied last: only then Git uses the pack.
    """
    with _directory(project, "objects/pack") as fd:
        for source in (pack, index):
            if not _exists(fd, source.name):
                _put(fd, source.name, source)


def write_reference(project: str, name: str, commit: str) -> None:
    """Set a reference, which is checked by the caller, to a commit. Raises UserError if that fails."""
    above, _, last = name.rpartition("/")
    with _directory(project, above) as fd:
        lock = f"{last}.lock"
        try:
            file = os.open(lock, _NEW, 0o644, dir_fd=fd)
        except FileExistsError:
            raise UserError(f"{name} is locked by another program", f"if there is none, remove {name}.lock") from None
        except OSError as error:
            raise UserError(f"{name} cannot be written: {error.strerror}") from error
        try:
            with os.fdopen(file, "w") as stream:
                stream.write(commit + "\n")
            os.replace(lock, last, src_dir_fd=fd, dst_dir_fd=fd)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.unlink(lock, dir_fd=fd)
            raise UserError(f"{name} cannot be written: {error.strerror}") from error


@contextlib.contextmanager
def _directory(project: str, path: str) -> Iterator[int]:
    """Yield a descriptor of a directory in ``.git``, which is created if it is missing. Raises UserError."""
    fd = os.open(project, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for depth, part in enumerate((".git", *path.split("/"))):
            if depth:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, 0o755, dir_fd=fd)
            following = os.open(part, _DIRECTORY, dir_fd=fd)
            os.close(fd)
            fd = following
        yield fd
    except OSError as error:
        raise UserError(f"{project}/.git/{path}: {(error.strerror or str(error)).lower()}") from error
    finally:
        os.close(fd)


def _exists(fd: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _put(fd: int, name: str, source: Path) -> None:
    fresh = f"tmp_{secrets.token_hex(8)}_{name}"
    try:
        with os.fdopen(os.open(fresh, _NEW, 0o444, dir_fd=fd), "wb") as file, source.open("rb") as content:
            shutil.copyfileobj(content, file, 1 << 20)
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, name, src_dir_fd=fd, dst_dir_fd=fd)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(fresh, dir_fd=fd)
        raise
