"""The session to which a connection of this guest belongs, by the cgroup of the program that opened its socket.

The kernel reports the cgroup of a socket (sock_diag(7), ``INET_DIAG_CGROUP_ID``) for one query of a few microseconds,
while a search of all processes' descriptors would take long. The number of a cgroup is the inode number of its
directory, whose name ends with the session (``cgroup_name``). Root in the guest can move processes, so the
result is only a hint.
"""

from __future__ import annotations

import os
import struct
from _socket import AF_INET, AF_NETLINK, IPPROTO_TCP, SOCK_RAW, inet_aton, socket

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from typing import Any

CGROUPS = "/sys/fs/cgroup/ccvm"
"""The directory with a cgroup for each program."""

# linux/sock_diag.h, linux/inet_diag.h
_NETLINK_SOCK_DIAG, _BY_FAMILY, _REQUEST = 4, 20, 1
_HEAD = struct.Struct("=IHHII")
_QUERY = struct.Struct("=BBBxI2s2s4s12x4s12xIII")
_MESSAGE_BYTES = 72
_ATTRIBUTE = struct.Struct("=HH")
_CGROUP_ID = 21
_ALL_STATES = 0xFFFFFFFF
_NO_COOKIE = 0xFFFFFFFF
_KNOWN_MAX = 1000


class Sessions:
    """The sessions of connections. ``directory`` has the cgroups."""

    def __init__(self, directory: str = CGROUPS) -> None:
        self._directory = directory
        self._known: dict[int, str] = {}
        self._netlink: Any = None

    def of(self, client: tuple[str, int], server: tuple[str, int]) -> str:
        """Return the session of the connection from ``client`` to ``server``, or "" if it is not known."""
        try:
            number = self.cgroup(client, server)
        except OSError:  # this kernel cannot answer
            return ""
        if number and number not in self._known:
            self._read()
        return self._known.get(number, "")

    def cgroup(self, client: tuple[str, int], server: tuple[str, int]) -> int:
        """Return the number of the cgroup in which the socket ``client`` was created, or 0. Raises OSError."""
        if self._netlink is None:
            self._netlink = socket(AF_NETLINK, SOCK_RAW, _NETLINK_SOCK_DIAG)
            self._netlink.setblocking(False)  # the kernel replies before ``send`` returns
        (source, source_port), (target, target_port) = client, server
        query = _QUERY.pack(
            AF_INET, IPPROTO_TCP, 0, _ALL_STATES,
            source_port.to_bytes(2, "big"), target_port.to_bytes(2, "big"), inet_aton(source), inet_aton(target),
            0, _NO_COOKIE, _NO_COOKIE,
        )  # fmt: skip
        self._netlink.send(_HEAD.pack(_HEAD.size + len(query), _BY_FAMILY, _REQUEST, 0, 0) + query)
        return parse(self._netlink.recv(4096))

    def _read(self) -> None:
        """Read the names of the cgroups, of which there is one for each running program."""
        if len(self._known) > _KNOWN_MAX:
            self._known.clear()
        try:
            with os.scandir(self._directory) as entries:
                for entry in entries:
                    if entry.is_dir():
                        self._known[entry.inode()] = session_in(entry.name)
        except FileNotFoundError:
            pass


def parse(reply: bytes) -> int:
    """Return the number of the cgroup in the kernel's reply, or 0 if there is none."""
    if len(reply) < _HEAD.size or _HEAD.unpack_from(reply)[1] != _BY_FAMILY:
        return 0
    at = _HEAD.size + _MESSAGE_BYTES
    while at + _ATTRIBUTE.size <= len(reply):
        length, kind = _ATTRIBUTE.unpack_from(reply, at)
        if length < _ATTRIBUTE.size:
            break
        if kind == _CGROUP_ID and length >= _ATTRIBUTE.size + 8:
            return int.from_bytes(reply[at + 4 : at + 12], "little")
        at += length + 3 & ~3
    return 0


def cgroup_name(unique: str, session: bytes) -> str:
    """Return the name of the cgroup of a session's program, which starts with ``unique``."""
    name = session.decode("ascii", "replace")
    return f"{unique}.{name}" if name.isalnum() and name.isascii() else unique


def session_in(cgroup: str) -> str:
    """Return the session in the name of a program's cgroup, or ""."""
    parts = cgroup.split(".", 2)
    return parts[2] if len(parts) == 3 else ""
