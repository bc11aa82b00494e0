"""SQLite's WAL index (``*-shm``), shared between mappings of the guest and mappings of the host.

Both sides write to the file through memory mappings, each under locks of its own bytes, but not of its own pages. The
guest's kernel writes whole pages back, when it likes. So a page that comes from the guest is compared with what the
guest had before (its *twin*), and only bytes that differ are written to the host's file; and that not before the guest
gives up a lock, from the end of the file to its beginning, since the header at the beginning makes the rest valid.

The format and its locks: https://sqlite.org/walformat.html
"""

from __future__ import annotations

import os
from typing import Final

from ccvm_tui.share.nodes import Node

SUFFIX: Final = b"-shm"
PAGE: Final = 4096

INDEX_MAX: Final = 64 << 20
"""Bytes of a file that are treated so, enough for a log of 32 GB; what lies beyond is an ordinary file's."""


class WalIndex:
    """The state of one such file.

    ``_twins`` has the content that the guest's copy of a page began with, ``_pending`` pages of the guest that the
    host's file lacks, ``_cached`` the numbers of the pages that the guest may hold.
    """

    def __init__(self) -> None:
        self._twins: dict[int, bytes] = {}
        self._pending: dict[int, bytes] = {}
        self._cached: set[int] = set()

    def read(self, fd: int, size: int, offset: int) -> bytes:
        """Content for the guest: the host's, with what the guest has written and not yet given up."""
        length = max(0, min(size, os.fstat(fd).st_size - offset))
        data = bytearray()
        for page in range(offset // PAGE, (offset + length + PAGE - 1) // PAGE):
            content = _page(fd, page)
            if page in self._pending:
                content = self._rebase(page, content)
            else:
                self._twins[page] = content
            self._cached.add(page)
            data += content
        start = offset % PAGE
        return bytes(data[start : start + length])

    def _rebase(self, page: int, current: bytes) -> bytes:
        """Carry the guest's changes of a page over to the host's current content."""
        merged = bytearray(current)
        mine = self._pending[page]
        for start, end in differences(self._twins.get(page, bytes(PAGE)), mine):
            merged[start:end] = mine[start:end]
        self._twins[page], self._pending[page] = current, bytes(merged)
        return bytes(merged)

    def keep(self, offset: int, data: bytes) -> None:
        """Keep pages that the guest's kernel writes back from a mapping, until ``publish``."""
        for at in range(0, len(data), PAGE):
            page = (offset + at) // PAGE
            self._pending[page] = data[at : at + PAGE].ljust(PAGE, b"\0")
            self._cached.add(page)

    def written(self, offset: int, data: bytes) -> None:
        """Note what the guest has written by a system call, which is in the host's file already."""
        for page in range(offset // PAGE, (offset + len(data) - 1) // PAGE + 1):
            start = max(offset, page * PAGE)
            end = min(offset + len(data), (page + 1) * PAGE)
            for pages in (self._twins, self._pending):
                if page in pages:
                    content = bytearray(pages[page])
                    content[start - page * PAGE : end - page * PAGE] = data[start - offset : end - offset]
                    pages[page] = bytes(content)

    def publish(self, fd: int) -> None:
        """Write what the guest has changed to the host's file. Raises OSError."""
        size = os.fstat(fd).st_size
        for page in sorted(self._pending, reverse=True):
            data = self._pending[page]
            for start, end in reversed(differences(self._twins.get(page, bytes(PAGE)), data)):
                position = page * PAGE + start
                if position < size:
                    os.pwrite(fd, data[start:end][: size - position], position)
            self._twins[page] = data
        self._pending.clear()

    def outdated(self, fd: int) -> bool:
        """Whether the host's file differs from what the guest has."""
        return any(_page(fd, page) != self._twins.get(page) for page in self._cached)

    def dropped(self) -> None:
        """Note that the guest drops its pages: it reads them again, those it has changed come back first."""
        self._cached.clear()


def _page(fd: int, number: int) -> bytes:
    return os.pread(fd, PAGE, number * PAGE).ljust(PAGE, b"\0")


def differences(old: bytes, new: bytes) -> list[tuple[int, int]]:
    """The ranges, start and end, in which two blocks of the same length differ, in order."""
    ranges: list[tuple[int, int]] = []
    step = 64
    for block in range(0, len(new), step):
        if old[block : block + step] == new[block : block + step]:
            continue
        for at in range(block, min(block + step, len(new))):
            if old[at] != new[at]:
                if ranges and ranges[-1][1] == at:
                    ranges[-1] = (ranges[-1][0], at + 1)
                else:
                    ranges.append((at, at + 1))
    return ranges


def is_index(name: bytes) -> bool:
    """Whether a file of this name is taken for a WAL index."""
    return name.endswith(SUFFIX)


def database_files(index: Node) -> list[Node]:
    """The database and its log that belong to ``index``, as far as the guest knows them."""
    if index.parent is None:
        return []
    database = index.name.removesuffix(SUFFIX)
    found = (index.parent.children.get(name) for name in (database, database + b"-wal"))
    return [node for node in found if node is not None]


def publish(node: Node) -> None:
    """Write what the guest has changed in mappings of ``node`` to the host's file. Raises OSError."""
    if node.index is None:
        return
    for handle in node.handles.values():
        if handle.writable:
            node.index.publish(handle.fd)
            return
