"""The record of the names that the guest has edited in a read-only project, and of what they replace on the host."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ccvm_tui.share import edit_list
from ccvm_tui.share.bases import Bases
from ccvm_tui.share.host import HostTree
from ccvm_tui.share.nodes import Node, State, path_of, state_of


class EditRecord:
    """The edited names of ``tree``. Backing files are in the directory ``store``, in which ``next_name`` is a new name.

    Directories with edits, and edited files, are pinned. ``_accepted`` are files that the host has with the same
    content, as long as they have that state. ``_applied`` are deleted names, and renamed files with their old places.
    """

    def __init__(self, tree: HostTree, store: int, next_name: Callable[[], bytes]) -> None:
        self._tree = tree
        self._store = store
        self._changes: dict[Node, dict[bytes, Node | None]] = {}
        self._bases = Bases(tree.directory_fd, store, next_name)
        self._accepted: dict[Node, State] = {}
        self._applied: dict[tuple[Node, bytes], tuple[Node, bytes] | None] = {}

    def of(self, parent: Node) -> Mapping[bytes, Node | None]:
        """Return the edited names in a directory, with None for a name that was deleted."""
        return self._changes.get(parent, {})

    def put(self, parent: Node, name: bytes, node: Node | None) -> None:
        """Record that ``name`` is now ``node``, or that it was deleted."""
        self.note_base(parent, name, copy=node is not None and node.is_regular)
        self._changes.setdefault(parent, {})[name] = node
        above: Node | None = parent
        while above is not None and not above.pinned:
            above.pinned = True
            above = above.parent
        if node is not None:
            node.pinned = True

    def note_base(self, parent: Node, name: bytes, *, copy: bool) -> None:
        """Note the host's file before its first edit, with a copy of its content if ``copy`` is true."""
        self._bases.note(parent, name, copy=copy)

    def remove(self, parent: Node, name: bytes) -> None:
        """Record the deletion of ``name`` if the host has that name. Otherwise discard the edit of that name."""
        if self._on_host(parent, name) is not None:
            node = self._tree.lookup(parent, name)
            if node is not None and node[0].is_directory and node[0].origin is None:
                self._bases.note_deletion(parent, name, node[0])
            self.put(parent, name, None)
        else:
            self._discard(parent, name)

    def forget(self, node: Node) -> None:
        """Discard all edits in ``node``, which has lost its last name."""
        self._changes.pop(node, None)
        self._accepted.pop(node, None)
        self._bases.forget(node)

    def _discard(self, parent: Node, name: bytes) -> None:
        self._changes.get(parent, {}).pop(name, None)
        self._bases.discard(parent, name)

    def _on_host(self, parent: Node, name: bytes) -> os.stat_result | None:
        """Return the attributes of the host's ``name`` in ``parent``, or None if it does not exist."""
        if parent.made:
            return None
        try:
            return self._tree.stat_at(parent, name)
        except OSError:
            return None

    # --- the list -----------------------------------------------------------------------------------------------

    def paths(self) -> Iterator[bytes]:
        """Yield the relative paths of the edited files; see ``HostTree.edits``."""
        for directory, name, node in self._edited():
            if node is None and self._bases.of(directory, name) is None:
                continue  # the host has no such file
            if node is None or not node.is_directory or node.origin is not None:
                yield path_of(directory, name)

    def listed(self) -> list[dict[str, Any]]:
        """Return the edits as ``edit_list.listed`` does."""
        return edit_list.listed(self._edited(), self._changes, self._bases)

    def displaced(self) -> list[Node]:
        """Return the files without backing files that were moved, but not renamed, because a name was in use."""
        return [
            node
            for directory, name, node in self._edited()
            if node is not None
            and node.backing is None
            and not node.is_directory
            and not edit_list.is_rename(self._changes, self._bases, directory, name, node)
        ]

    def _edited(self) -> Iterator[tuple[Node, bytes, Node | None]]:
        for directory, name, node in edit_list.edited(self._changes, self._tree.nodes.root):
            accepted = self._accepted.get(node) if node is not None else None
            if accepted is None or node is None or accepted != state_of(self._tree.stat(node)):
                yield directory, name, node

    # --- edits that were applied to the host ----------------------------------------------------------------------

    def accept(self, path: bytes) -> None:
        """Take the host's file at ``path``, to which the guest's edit was applied, as the one that the guest edits.

        Later changes by either side are compared with it. Names without an edit are ignored. It is also called after
        the application was undone.
        """
        parent, name = self._place(path)
        if parent is None or name not in self.of(parent):
            return
        node, info = self._changes[parent][name], self._on_host(parent, name)
        if node is not None:
            self._accepted.pop(node, None)
        if node is None and info is None:
            self._discard(parent, name)
            self._applied[parent, name] = None
        elif node is None or info is None or not self._moved_on_host(parent, name, node, info):
            self._bases.discard(parent, name)
            self.note_base(parent, name, copy=node is not None and node.is_regular)
            if node is not None:
                self._take_over(parent, name, node, info)

    def revive(self, path: bytes) -> None:
        """Make an edit of the deletion or rename that was applied at ``path``, because that is about to be undone."""
        parent, name = self._place(path)
        if parent is None or (parent, name) not in self._applied:
            return
        origin = self._applied.pop((parent, name))
        if origin is None:
            if name not in self.of(parent):
                self.put(parent, name, None)
            return
        found = self._tree.lookup(parent, name)
        if found is not None and found[0].origin is None and not found[0].made and origin[1] not in self.of(origin[0]):
            found[0].origin = origin
            self.put(parent, name, found[0])
            self.put(*origin, None)

    def _place(self, path: bytes) -> tuple[Node | None, bytes]:
        """Return the directory and the name of a path in the guest. The directory is None if it does not exist."""
        *above, name = path.split(b"/")
        parent = self._tree.nodes.root
        for part in above:
            found = self._tree.lookup(parent, part)
            if found is None or not found[0].is_directory:
                return None, name
            parent = found[0]
        return parent, name

    def _moved_on_host(self, parent: Node, name: bytes, node: Node, info: os.stat_result) -> bool:
        """Forget that the guest has moved ``node`` if the host has moved it too. Return whether no edit remains."""
        if node.origin is None or (node.backing is None and not node.is_of(info)):
            return False
        (old_parent, old_name), node.origin = node.origin, None
        if self.of(old_parent).get(old_name, node) is None and self._on_host(old_parent, old_name) is None:
            self._discard(old_parent, old_name)
            self._applied[parent, name] = (old_parent, old_name)
        if node.backing is None:
            self._discard(parent, name)
        return node.backing is None

    def _take_over(self, parent: Node, name: bytes, node: Node, info: os.stat_result | None) -> None:
        """Note whether the host's file equals the guest's.

        A directory that the guest has created becomes the host's if the host has created it too. If the host has
        removed it, it is only the guest's again.
        """
        if node.is_directory:
            if node.made and info is not None and stat.S_ISDIR(info.st_mode):
                self._tree.nodes.rekey(node, (info.st_dev, info.st_ino))
                node.made, node.copied = False, True
                self._tree.watch(node)  # so far only the guest could change it
            elif node.copied and info is None and node.origin is None:
                node.made, node.copied = True, False
                self._tree.nodes.forget_key(node)
                self._tree.close_directory(node)
        elif node.backing is not None and info is not None and self._same(parent, name, node, info):
            self._accepted[node] = state_of(self._tree.stat(node))

    def _same(self, parent: Node, name: bytes, node: Node, info: os.stat_result) -> bool:
        """Return whether the host's file has the type, the permissions and the content of the guest's."""
        ours = self._tree.stat(node)
        if stat.S_IFMT(info.st_mode) != stat.S_IFMT(ours.st_mode) or node.backing is None:
            return False
        try:
            at = self._tree.directory_fd(parent)
            if node.kind == stat.S_IFLNK:
                return os.readlink(name, dir_fd=at) == self._tree.read_link(node)
            same_mode = stat.S_IMODE(info.st_mode) == stat.S_IMODE(ours.st_mode)
            return node.is_regular and same_mode and edit_list.same_content(at, name, self._store, node.backing)
        except OSError:
            return False
