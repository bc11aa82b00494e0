"""The calls that the helper in the guest is to make: see ``refresh``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ccvm_tui.share.nodes import Node, State


@dataclass(slots=True, eq=False)
class Instruction:
    """One call for the helper to make: ``name`` in ``directory``, for a rename to ``new_name`` in ``new_directory``."""

    kind: str
    directory: Node
    name: bytes
    new_directory: Node | None = None
    new_name: bytes = b""
    is_directory: bool = False
    node: Node | None = None
    number: int = 0
    tries: int = 0
    told: State | None = None
    then: Callable[[], None] | None = None

    def names(self) -> list[tuple[Node, bytes]]:
        """Directories and names that it is about."""
        names = [(self.directory, self.name)]
        if self.new_directory is not None:
            names.append((self.new_directory, self.new_name))
        return names

    def places(self) -> list[tuple[int, bytes]]:
        """The same with the directories' numbers."""
        return [(directory.id, name) for directory, name in self.names()]

    @property
    def subject(self) -> Node | tuple[Node, bytes]:
        """The file that a ``modify`` or an ``attrib`` is about."""
        return self.node or (self.directory, self.name)

    def is_about(self, node: Node) -> bool:
        """Whether it was made for ``node``, or is of its name."""
        return self.node is node or self.is_of(node)

    def is_of(self, node: Node) -> bool:
        """Whether its name is that of ``node`` by now."""
        return self.directory.children.get(self.name) is node

    @property
    def path(self) -> bytes:
        """The path of ``name`` below the shared directory."""
        return path_of(self.directory, self.name)

    def finish(self) -> None:
        """Let what waits for the instruction go on."""
        if self.then is not None:
            self.then()


def path_of(directory: Node, name: bytes) -> bytes:
    """The path of ``name`` in ``directory`` below the shared one."""
    parts = [name]
    node: Node | None = directory
    while node is not None and node.parent is not None:
        parts.append(node.name)
        node = node.parent
    return b"/".join(reversed(parts))
