"""A shared page in which the screen process records the session that it is about to work on.

If the process crashes, the keeper reads there which session crashed it. Writing to memory takes nanoseconds, and the
page survives a crash, unlike a message that was not sent yet.
"""

import mmap
import os

_SIZE = mmap.PAGESIZE


class CurrentSession:
    """One side of the shared page. ``fd`` is the file descriptor of the page."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._page = mmap.mmap(fd, _SIZE)

    @classmethod
    def create(cls) -> "CurrentSession":
        """Create a page in anonymous memory."""
        fd = os.memfd_create("ccvm-screen", os.MFD_CLOEXEC)
        os.ftruncate(fd, _SIZE)
        return cls(fd)

    def set(self, session: str) -> None:
        """Record the name of the current session, or "" for none."""
        name = session.encode()[:255]
        self._page[: len(name) + 1] = bytes((len(name),)) + name

    def get(self) -> str:
        """Return the name that was recorded last, or ""."""
        length = self._page[0]
        return self._page[1 : 1 + length].decode("utf-8", "replace")

    def close(self) -> None:
        """Unmap the page and close the file descriptor."""
        self._page.close()
        os.close(self.fd)
