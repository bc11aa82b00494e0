"""The instructions for the helper in the guest; see ``refresh``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ccvm_tui.share.nodes import Node, State


@dataclass(slots=True, eq=False)
class Instruction:
    """One call for the helper to make.

    ``kind`` is the call, as listed in ``refresh``. It is made for ``name`` in ``directory``, and a rename moves that to
    ``new_name`` in ``new_directory``. ``node`` is the file whose content or attributes are refreshed. ``delivered`` is
    the state that the guest received in the reply to the call. ``then`` is called when the call has been made.
    """

    kind: str
    directory: Node
    name: bytes
    new_directory: Node | None = None
    new_name: bytes = b""
    is_directory: bool = False
    node: Node | None = None
    number: int = 0
    tries: int = 0
    delivered: State | None = None
    then: Callable[[], None] | None = None

    def names(self) -> list[tuple[Node, bytes]]:
        """Return the directories and names that the call affects."""
        names = [(self.directory, self.name)]
        if self.new_directory is not None:
            names.append((self.new_directory, self.new_name))
        return names

    def places(self) -> list[tuple[int, bytes]]:
        """Return the same as ``names``, with the numbers of the directories."""
        return [(directory.id, name) for directory, name in self.names()]

    @property
    def subject(self) -> Node | tuple[Node, bytes]:
        """The file to which a ``modify`` or an ``attrib`` applies."""
        return self.node or (self.directory, self.name)

    def is_about(self, node: Node) -> bool:
        """Return whether the instruction was created for ``node``, or applies to its name."""
        return self.node is node or self.is_of(node)

    def is_of(self, node: Node) -> bool:
        """Return whether the name in the instruction currently belongs to ``node``."""
        return self.directory.children.get(self.name) is node

    @property
    def path(self) -> bytes:
        """The path of ``name``, relative to the shared directory."""
        return path_of(self.directory, self.name)

    def finish(self) -> None:
        """Call ``then``, if it is set."""
        if self.then is not None:
            self.then()


def path_of(directory: Node, name: bytes) -> bytes:
    """Return the path of ``name`` in ``directory``, relative to the shared directory."""
    parts = [name]
    node: Node | None = directory
    while node is not None and node.parent is not None:
        parts.append(node.name)
        node = node.parent
    return b"/".join(reversed(parts))
