"""Initrd archives in the "newc" format of cpio, which the kernel unpacks.

Source: Documentation/driver-api/early-userspace/buffer-format.rst in the Linux tree.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass, field
from typing import BinaryIO

_MAGIC = b"070701"
_TRAILER = "TRAILER!!!"
_ALIGN = 4


@dataclass
class Archive:
    """An archive that is written to ``out`` member by member.

    All members belong to root and have the time 0, so that equal content gives equal bytes. A directory must be added
    before its members.
    """

    out: BinaryIO
    _inode: int = field(default=0, init=False)

    def directory(self, name: str, mode: int = 0o755) -> None:
        """Add a directory."""
        self._member(name, stat.S_IFDIR | mode, b"")

    def file(self, name: str, data: bytes, mode: int = 0o644) -> None:
        """Add a regular file."""
        self._member(name, stat.S_IFREG | mode, data)

    def symlink(self, name: str, target: str) -> None:
        """Add a symbolic link."""
        self._member(name, stat.S_IFLNK | 0o777, target.encode())

    def character_device(self, name: str, major: int, minor: int, mode: int = 0o600) -> None:
        """Add a character device."""
        self._member(name, stat.S_IFCHR | mode, b"", (major, minor))

    def close(self) -> None:
        """Write the trailer. The underlying file stays open."""
        self._member(_TRAILER, 0, b"")

    def _member(self, name: str, mode: int, data: bytes, device: tuple[int, int] = (0, 0)) -> None:
        self._inode += 1
        encoded = name.lstrip("/").encode() + b"\0"
        links = 2 if stat.S_ISDIR(mode) else 1
        fields = (
            self._inode, mode, 0, 0, links, 0, len(data),
            0, 0, *device, len(encoded), 0,
        )  # fmt: skip
        header = _MAGIC + b"".join(b"%08X" % value for value in fields) + encoded
        self.out.write(header + _padding(len(header)))
        self.out.write(data + _padding(len(data)))


def _padding(length: int) -> bytes:
    return b"\0" * (-length % _ALIGN)
