"""The instructions for the helper in the guest; see ``refresh``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ccvm_tui.share.nodes import Node, State, path_of


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


class Outstanding:
    """The instructions that the helper has received and not yet completed."""

    def __init__(self) -> None:
        self._by_number: dict[int, Instruction] = {}
        self._by_name: dict[tuple[int, bytes], Instruction] = {}
        self._last = 0

    def __len__(self) -> int:
        return len(self._by_number)

    def __iter__(self) -> Iterator[Instruction]:
        return iter(self._by_number.values())

    def add(self, instruction: Instruction) -> int:
        """Add an instruction, and return its number."""
        self._last += 1
        self._by_number[self._last] = instruction
        for key in instruction.places():
            self._by_name[key] = instruction
        return self._last

    def affects(self, instruction: Instruction) -> bool:
        """Return whether an outstanding instruction affects the same name as ``instruction``."""
        return any(key in self._by_name for key in instruction.places())

    def at(self, directory: int, name: bytes) -> Instruction | None:
        """Return the instruction that affects ``name`` in the directory with that number."""
        return self._by_name.get((directory, name))

    def release(self, instruction: Instruction) -> None:
        """Release the names of an instruction, because the request it was for has arrived."""
        for key in instruction.places():
            if self._by_name.get(key) is instruction:
                del self._by_name[key]

    def complete(self, number: int) -> Instruction | None:
        """Remove the instruction with that number and return it, or None if there is none."""
        instruction = self._by_number.pop(number, None)
        if instruction is not None:
            self.release(instruction)
        return instruction

    def clear(self) -> None:
        """Remove all instructions."""
        self._by_number.clear()
        self._by_name.clear()
