"""The list of the guest's edits, for the host: places, kinds, and the files in the store with the new content."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, BinaryIO, Final

from ccvm_tui.share.bases import Base, Bases
from ccvm_tui.share.nodes import Node, path_of

_CHUNK: Final = 1 << 20

Changes = Mapping[Node, Mapping[bytes, Node | None]]
"""The edited names of each directory. A name that the guest has deleted is None."""

_KINDS: Final = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "symlink"}


def edited(changes: Changes, root: Node) -> Iterator[tuple[Node, bytes, Node | None]]:
    """Yield directory, name and node of each file that the guest created, changed, moved or deleted.

    Directories are included if they were created or moved.
    """
    for directory, names in changes.items():
        if directory is not root and not _reachable(changes, root, directory):
            continue
        for name, node in names.items():
            if node is None or not node.is_directory or node.origin is not None or node.made:
                yield directory, name, node


def _reachable(changes: Changes, root: Node, node: Node) -> bool:
    while node.parent is not None:
        names = changes.get(node.parent, {})
        if node.name in names and names[node.name] is not node:
            return False
        node = node.parent
    return node is root


def listed(edits: Iterable[tuple[Node, bytes, Node | None]], changes: Changes, bases: Bases) -> list[dict[str, Any]]:
    """Return the edits for JSON.

    ``path`` is the path in the guest, ``place`` the corresponding path on the host, which differs below a directory
    that the guest has moved. ``kind`` is file, directory, symlink, other or absent. ``backing`` is the name of a file
    in the store with content and attributes, empty if they are the host's. ``origin`` is the path on the host of a file
    that was moved, and ``left`` is true if it was renamed (see ``is_rename``); then the old name is not listed.
    ``base`` has the fields of ``Base`` for the file at ``place``, or is None if the host had no such file;
    ``origin_base`` is that of the file at ``origin``.
    """
    moved = {
        node.origin
        for directory, names in changes.items()
        for name, node in names.items()
        if node is not None and node.origin is not None and is_rename(changes, bases, directory, name, node)
    }
    found = []
    for directory, name, node in edits:
        base = bases.of(directory, name)
        if node is None:
            if base is not None and (directory, name) not in moved:
                found.append(_edit(directory, name, "absent", base))
            continue
        origin = b"" if node.origin is None else _place_of(*node.origin)
        if origin == _place_of(directory, name):
            origin = b""
        if not origin and node.backing is None:
            continue  # moved away and back
        edit = _edit(directory, name, _KINDS.get(node.kind, "other"), base, node.backing or b"")
        if node.origin is not None and origin:
            parent, old_name = node.origin
            edit["origin"], edit["left"] = os.fsdecode(origin), is_rename(changes, bases, directory, name, node)
            moved_from = bases.of(parent, old_name)
            edit["origin_base"] = moved_from.encode() if moved_from is not None else None
        found.append(edit)
    return found


def is_rename(changes: Changes, bases: Bases, directory: Node, name: bytes, node: Node) -> bool:
    """Return whether a file was moved from a name that is free now to one that was free before."""
    if node.origin is None:
        return False
    parent, old_name = node.origin
    return changes.get(parent, {}).get(old_name, node) is None and bases.of(directory, name) is None


def _edit(directory: Node, name: bytes, kind: str, base: Base | None, backing: bytes = b"") -> dict[str, Any]:
    return {
        "path": os.fsdecode(path_of(directory, name)),
        "place": os.fsdecode(_place_of(directory, name)),
        "kind": kind,
        "backing": os.fsdecode(backing),
        "base": base.encode() if base is not None else None,
    }


def _place_of(directory: Node, name: bytes) -> bytes:
    """Return the path on the host of ``name`` in ``directory``."""
    parts = [name]
    node = directory
    while node.parent is not None:
        above, part = node.origin or (node.parent, node.name)
        parts.append(part)
        node = above
    return b"/".join(reversed(parts))


def same_content(first_directory: int, first: bytes, second_directory: int, second: bytes) -> bool:
    """Return whether two files have the same content. Raises OSError if they are not regular files."""
    with _opened(first_directory, first) as one, _opened(second_directory, second) as other:
        while data := one.read(_CHUNK):
            if other.read(_CHUNK) != data:
                return False
        return not other.read(1)


def _opened(directory: int, name: bytes) -> BinaryIO:
    fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    return open(fd, "rb")
