"""The format in which files and directories are copied between a guest and the host. Both ends import it.

A copy is a stream of the frames of ``wire``. Every entry has a single name and not a path, and directories are entered
and left, so no name can lead outside of the destination. An entry at the top has a number instead of a name: the
receiver itself chose the names of what it asked for.
"""

from __future__ import annotations

import os

from . import wire

DIRECTORY, LEAVE, FILE, CHUNK, COMPLETE, BROKEN, LINK, PROBLEM, END = (
    b"d",
    b"u",
    b"f",
    b"c",
    b"g",
    b"b",
    b"l",
    b"w",
    b"z",
)
"""Kinds of frames: a directory is entered; it is left; a file begins; its content; it is complete; it could not be read
to its end; a symbolic link; a message about what was omitted; the end of the copy."""

DEPTH_MAX = 128
"""Maximum number of nested directories. Each of them takes a file descriptor."""

PIECE = wire.PIECE
"""Maximum number of bytes in a CHUNK."""


class TreeError(Exception):
    """The copy cannot continue. The message is for users."""


class Tally:
    """The number of files and bytes copied so far, and the name of the last file."""

    def __init__(self) -> None:
        self.files = self.bytes = 0
        self.name = ""


def attributes(mode: int, mtime_ns: int, name: bytes) -> bytes:
    """Encode the body of a DIRECTORY or a FILE."""
    return b"%o %d\0%s" % (mode & 0o7777, mtime_ns, name)


def parse_attributes(body: bytes) -> tuple[int, int, bytes]:
    """Return mode, modification time in nanoseconds, and name. Raises TreeError if the body is not valid."""
    head, _, name = body.partition(b"\0")
    mode, _, mtime = head.partition(b" ")
    try:
        return int(mode[:8], 8), int(mtime[:20]), name
    except ValueError:
        raise TreeError("the other side sent invalid attributes of a file") from None


def shown(name: bytes) -> str:
    """Return a name for messages."""
    return os.fsdecode(name)


def open_destination(path: bytes, names: list[bytes]) -> tuple[int, list[bytes]]:
    """Return a descriptor of the directory that receives ``names``, and the names that they get there.

    An existing directory receives them. Otherwise ``path`` is the new name of a single entry. Raises TreeError if
    neither is possible.
    """
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    try:
        return os.open(path, flags), names
    except FileNotFoundError:
        problem = "there is no such directory"
    except NotADirectoryError:
        problem = "it is not a directory"
    except OSError as error:
        raise TreeError(f"{shown(path)}: {error.strerror}") from error
    parent, _, name = path.rpartition(b"/")
    if len(names) != 1 or name in (b"", b".", b".."):
        raise TreeError(f"{shown(path)}: {problem}")
    try:
        return os.open(parent or (b"/" if path.startswith(b"/") else b"."), flags), [name]
    except OSError as error:
        raise TreeError(f"{shown(parent)}: {error.strerror}") from error
