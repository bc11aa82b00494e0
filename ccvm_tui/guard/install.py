"""Puts the content that the user has allowed into the project.

The guest may change the project at the same time. Directories are therefore opened one by one without following links,
and the file is replaced by its name in the last one.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from ccvm_tui.errors import UserError
from ccvm_tui.guard.checks import CONTENT_MAX, version
from ccvm_tui.guard.places import Check
from ccvm_tui.guard.quarantine import BLOCKED, Item, Quarantine

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def allow(guest: str, id_: str) -> str:
    """Put the content of an item into the project, record that it is allowed, and return a text about it.

    Raises UserError if there is no such item, if the file has changed since, or if it cannot be written.
    """
    quarantine = Quarantine(guest)
    item = quarantine.item(id_)
    text = f"{item.path} is accepted as the guest has written it"
    try:
        if item.state == BLOCKED:
            written = install(Path(item.project), item, quarantine.content(item))
            text = f"{item.path} is written" if written else f"the guest may now write {item.path}, if it tries again"
        quarantine.allow(item)
    except OSError as error:
        raise UserError(f"cannot write {item.path}: {error.strerror}", f"the directory is in {item.project}") from error
    return text


def install(project: Path, item: Item, content: bytes) -> bool:
    """Write what the guest wanted, and return True, or False if the content is not known.

    Raises UserError if the file has changed since, OSError if it cannot be written.
    """
    if not item.complete:
        return False
    *directories, name = item.path.split("/")
    if any(part in ("", ".", "..") for part in (*directories, name)):
        raise UserError(f"{item.path!r} is not a path in the project")
    fd = os.open(project, _DIRECTORY)
    try:
        for part in directories:
            following = os.open(part, _DIRECTORY, dir_fd=fd)
            os.close(fd)
            fd = following
        if _version(fd, name) != item.before:
            raise UserError(
                f"{item.path} has changed since",
                "let the guest try again: what you allow now is accepted from it for as long as it runs",
            )
        _replace(fd, name, item, content)
    finally:
        os.close(fd)
    return True


def _replace(directory: int, name: str, item: Item, content: bytes) -> None:
    temporary = f".{secrets.token_hex(8)}.new"
    try:
        if item.link:
            os.symlink(content, temporary, dir_fd=directory)
        else:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            fd = os.open(
                temporary, flags, 0o755 if item.executable or item.check == Check.HOOK else 0o644, dir_fd=directory
            )
            with os.fdopen(fd, "wb") as file:
                file.write(content)
        os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
    except OSError:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=directory)
        raise


def _version(directory: int, name: str) -> str:
    """Return the version of a file, or an empty text if there is none."""
    try:
        fd = os.open(name, _FILE, dir_fd=directory)
    except OSError:
        return ""
    with os.fdopen(fd, "rb") as file:
        return version(file.read(CONTENT_MAX + 1))
