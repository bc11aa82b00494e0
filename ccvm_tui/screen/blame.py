"""A shared page on which the screen process writes whose bytes it is about to parse.

When the process dies, the keeper reads there which session killed it. A page of memory is written in nanoseconds
and survives what no message would.
"""

import mmap
import os

_SIZE = mmap.PAGESIZE


class Blame:
    """One side of the page; `fd` is what both share."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._page = mmap.mmap(fd, _SIZE)

    @classmethod
    def create(cls) -> "Blame":
        """A new page, in anonymous memory."""
        fd = os.memfd_create("ccvm-screen", os.MFD_CLOEXEC)
        os.ftruncate(fd, _SIZE)
        return cls(fd)

    def set(self, session: str) -> None:
        """The named session is being worked on; "" for none."""
        name = session.encode()[:255]
        self._page[: len(name) + 1] = bytes((len(name),)) + name

    def get(self) -> str:
        """The session that was being worked on last, or ""."""
        length = self._page[0]
        return self._page[1 : 1 + length].decode("utf-8", "replace")

    def close(self) -> None:
        self._page.close()
        os.close(self.fd)
