"""SQLite's WAL index (``*-shm``), shared between mappings in the guest and mappings on the host.

Both sides write to the file through memory mappings. Locks protect ranges of bytes, not pages, but the guest's kernel
writes back whole pages, and at any time. A page from the guest is therefore compared with its previous content in the
guest (its *twin*), and only the bytes that differ are written to the host's file. They are written when the guest
releases a lock, from the end of the file to its start, since the header at the start makes the rest valid.

The format and its locks: https://sqlite.org/walformat.html
"""

from __future__ import annotations

import os
from typing import Final

from ccvm_tui.share.nodes import Node

SUFFIX: Final = b"-shm"
PAGE: Final = 4096

INDEX_MAX: Final = 64 << 20
"""The length in bytes up to which a file is treated as an index, enough for a log of 32 GB."""


class WalIndex:
    """The state of one index file.

    ``_twins`` contains the original content of the guest's copies of pages. ``_pending`` contains pages of the guest
    that have not been written to the host's file. ``_cached`` contains the numbers of the pages that the guest may have
    cached.
    """

    def __init__(self) -> None:
        self._twins: dict[int, bytes] = {}
        self._pending: dict[int, bytes] = {}
        self._cached: set[int] = set()

    def read(self, fd: int, size: int, offset: int) -> bytes:
        """Return content for the guest: that of the host's file, with the guest's pending changes."""
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
        """Apply the guest's changes of a page to the host's current content."""
        merged = bytearray(current)
        pending = self._pending[page]
        for start, end in differences(self._twins.get(page, bytes(PAGE)), pending):
            merged[start:end] = pending[start:end]
        self._twins[page], self._pending[page] = current, bytes(merged)
        return bytes(merged)

    def keep(self, offset: int, data: bytes) -> None:
        """Keep pages that the guest's kernel writes back from a mapping until ``publish`` is called."""
        for at in range(0, len(data), PAGE):
            page = (offset + at) // PAGE
            self._pending[page] = data[at : at + PAGE].ljust(PAGE, b"\0")
            self._cached.add(page)

    def written(self, offset: int, data: bytes) -> None:
        """Record data that the guest has written with a system call, and that is already in the host's file."""
        for page in range(offset // PAGE, (offset + len(data) - 1) // PAGE + 1):
            start = max(offset, page * PAGE)
            end = min(offset + len(data), (page + 1) * PAGE)
            for pages in (self._twins, self._pending):
                if page in pages:
                    content = bytearray(pages[page])
                    content[start - page * PAGE : end - page * PAGE] = data[start - offset : end - offset]
                    pages[page] = bytes(content)

    def publish(self, fd: int) -> None:
        """Write the guest's pending changes to the host's file. Raises OSError if that fails."""
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
        """Return whether the host's file differs from the pages that the guest has cached."""
        return any(_page(fd, page) != self._twins.get(page) for page in self._cached)

    def dropped(self) -> None:
        """Record that the guest drops its pages. It writes back the changed ones first, and reads them again later."""
        self._cached.clear()


def _page(fd: int, number: int) -> bytes:
    return os.pread(fd, PAGE, number * PAGE).ljust(PAGE, b"\0")


def differences(old: bytes, new: bytes) -> list[tuple[int, int]]:
    """Return the ranges (start, end), in order, in which two blocks of the same length differ."""
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
    """Return whether a file of this name is treated as a WAL index."""
    return name.endswith(SUFFIX)


def database_files(index: Node) -> list[Node]:
    """Return the nodes of the database and the log that belong to ``index``, if the guest knows them."""
    if index.parent is None:
        return []
    database = index.name.removesuffix(SUFFIX)
    found = (index.parent.children.get(name) for name in (database, database + b"-wal"))
    return [node for node in found if node is not None]


def publish(node: Node) -> None:
    """Write the guest's pending changes to the host's file if ``node`` is an index. Raises OSError if that fails."""
    if node.index is None:
        return
    for handle in node.handles.values():
        if handle.writable:
            node.index.publish(handle.fd)
            return
