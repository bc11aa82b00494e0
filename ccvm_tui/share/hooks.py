"""The hooks of the host's tree, which do nothing there, for the trees that are derived from it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ccvm_tui.share.nodes import Handle, Node


class Hooks:
    """Methods that a subclass of ``HostTree`` overrides to keep edits or to check changes."""

    def shadows(self, parent: Node, name: bytes) -> bool:  # noqa: ARG002 - for subclasses
        """Return whether an edit hides the host's ``name`` from the guest."""
        return False

    def shadows_node(self, node: Node) -> bool:  # noqa: ARG002 - for subclasses
        """Return whether ``node`` is independent of the host's files."""
        return False

    def private(self, node: Node) -> bool:  # noqa: ARG002 - for subclasses
        """Return whether only the guest can change the entries of ``node``, a directory."""
        return False

    def edits(self) -> Iterable[bytes]:
        """Return the relative paths of the files that the guest has edited without changing the host's files."""
        return ()

    def list_edits(self) -> list[dict[str, Any]]:
        """Return the edits for the host; see ``edit_list``."""
        return []

    def accept(self, path: bytes) -> None:
        """Take the host's file at ``path``, to which an edit was applied, as the one that the guest edits."""

    def revive(self, path: bytes) -> None:
        """Make an edit of what was applied at ``path``, because that is about to be undone."""

    def require_space(self, size: int) -> None:
        """Raise OSError (ENOSPC) if there is no space for ``size`` more bytes. The host's tree has no limit."""

    def resized(self, before: int, after: int) -> None:
        """Update the used space after the size of a file has changed."""

    def check_write(self, handle: Handle, segments: Sequence[memoryview], offset: int, *, cached: bool) -> None:
        """Raise OSError (EPERM) if a write must not be made. ``cached`` is true for pages of the guest's cache."""

    def capture(self, parent: Node, name: bytes, flags: int, mode: int) -> int:  # noqa: ARG002 - for subclasses
        """Return a descriptor of a file without a name that takes the place of a new file, or -1 if there is none."""
        return -1

    def flushed(self, handle: Handle) -> None:
        """Handle that a program in the guest closes ``handle``. Raises OSError for that program."""

    def check_resize(self, node: Node) -> None:
        """Raise OSError if the size of a file must not be changed in another way than by writing."""

    def copying(self, node: Node, change: int) -> None:
        """Count a copy to ``node`` that another thread makes: 1 at its start, -1 at its end. May raise OSError."""

    def trust(self, path: str, allowed: Iterable[str]) -> None:
        """Accept the problems ``allowed`` of the file ``path`` from now on."""

    def closing(self, handle: Handle) -> None:
        """Prepare for closing ``handle``."""
