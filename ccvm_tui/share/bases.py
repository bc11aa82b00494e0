"""The host's files that the guest's edits replace, as they were when the guest first edited their names.

They show later whether the host has changed a file since. For small files the content is copied too, so that the
changes of both sides can be compared with it.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from ccvm_tui.share.nodes import Node

COPY_MAX = 1 << 20
"""Maximum size in bytes of a file whose content is copied."""

TOTAL_MAX = 64 << 20
"""Maximum size of all copies in bytes. They are usually in memory."""

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


@dataclass(frozen=True, slots=True)
class Base:
    """A file of the host. ``mode`` includes the file type; times are ns since 1970.

    ``noted`` is the time at which the attributes were read. ``copy`` is the name of the content's copy in the store, or
    empty.
    """

    mode: int
    size: int
    device: int
    inode: int
    modified: int
    changed: int
    noted: int
    copy: str = ""

    @classmethod
    def of(cls, info: os.stat_result, noted: int, copy: str = "") -> Base:
        """Return the base with the attributes ``info``."""
        return cls(
            info.st_mode, info.st_size, info.st_dev, info.st_ino, info.st_mtime_ns, info.st_ctime_ns, noted, copy
        )

    def same_file(self, info: os.stat_result) -> bool:
        """Return whether ``info`` describes the same version of the same file."""
        return Base.of(info, self.noted, self.copy) == self

    def encode(self) -> dict[str, Any]:
        """Return the fields, for JSON."""
        return asdict(self)


class Bases:
    """The bases of all edited names. Copies are in the directory ``store``, with names that ``next_name`` returns."""

    def __init__(self, directory_fd: Callable[[Node], int], store: int, next_name: Callable[[], bytes]) -> None:
        self._directory_fd = directory_fd
        self._store = store
        self._next_name = next_name
        self._bases: dict[Node, dict[bytes, Base | None]] = {}
        self._copied = 0

    def of(self, parent: Node, name: bytes) -> Base | None:
        """Return the base of ``name`` in ``parent``, or None if the host had no such name."""
        return self._bases.get(parent, {}).get(name)

    def note(self, parent: Node, name: bytes, *, copy: bool) -> None:
        """Note the host's current file unless the name has a base.

        With ``copy``, its content is copied too, also later as long as the host has not changed the file.
        """
        names = self._bases.get(parent, {})
        known = names.get(name)
        if parent.made or (name in names and (known is None or known.copy or not copy)):
            return
        try:
            at = self._directory_fd(parent)
            info = os.stat(name, dir_fd=at, follow_symlinks=False)
        except OSError:
            self._bases.setdefault(parent, {}).setdefault(name, None)
            return
        if known is not None and not known.same_file(info):
            return
        base = known or Base.of(info, time.time_ns())
        if copy and stat.S_ISREG(info.st_mode):
            base = Base.of(info, base.noted, self._copy(at, name, info))
        self._bases.setdefault(parent, {})[name] = base

    def _copy(self, at: int, name: bytes, info: os.stat_result) -> str:
        """Copy the content of the file that ``info`` describes, and return the copy's name, or an empty string."""
        if info.st_size > COPY_MAX or self._copied + info.st_size > TOTAL_MAX:
            return ""
        try:
            with open(os.open(name, _READ, dir_fd=at), "rb") as source:
                data = source.read(COPY_MAX + 1)
                after = os.fstat(source.fileno())
        except OSError:
            return ""
        if not Base.of(info, 0).same_file(after):
            return ""  # the host was changing it
        copy = self._next_name()
        try:
            with open(copy, "xb", opener=lambda path, flags: os.open(path, flags, 0o600, dir_fd=self._store)) as target:
                target.write(data)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(copy, dir_fd=self._store)
            return ""
        self._copied += len(data)
        return copy.decode()

    def note_deletion(self, parent: Node, name: bytes, directory: Node) -> None:
        """Note the host's directory ``name``, which the guest deletes, as of the first edit of what was in it."""
        self.note(parent, name, copy=False)
        base = self.of(parent, name)
        times = [inner.noted for inner in self._bases.get(directory, {}).values() if inner is not None]
        if base is not None and times:
            self._bases[parent][name] = replace(base, noted=min(base.noted, *times))

    def discard(self, parent: Node, name: bytes) -> None:
        """Forget the base of ``name`` in ``parent``, which is no longer edited."""
        names = self._bases.get(parent, {})
        base = names.pop(name, None)
        if not names:
            self._bases.pop(parent, None)
        if base is not None and base.copy:
            self._copied -= base.size
            with contextlib.suppress(OSError):
                os.unlink(base.copy, dir_fd=self._store)

    def forget(self, parent: Node) -> None:
        """Forget all bases in ``parent``, a directory that was deleted."""
        for name in list(self._bases.get(parent, {})):
            self.discard(parent, name)
