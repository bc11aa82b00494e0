"""A read-only project with the file server's tree of edits, in the same process, and what a guest does in it."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path

import msgspec

from ccvm_tui.edits import Edit
from ccvm_tui.review import apply, load
from ccvm_tui.review.model import Change, Review
from ccvm_tui.share.edits import EditsTree
from tests.share.client import Client

Files = dict[str, tuple[object, ...]]
"""The files of a tree by their paths, each with its type, permissions and content."""


class EditedProject:
    """The directory ``host``, and the guest that edits it with ``client``."""

    name = "project-1"

    def __init__(self, base: Path) -> None:
        self.host, self.store = base / "project", base / "store"
        self.host.mkdir()
        self.store.mkdir(mode=0o700)
        self._client: Client | None = None

    @property
    def client(self) -> Client:
        """The guest, which starts at its first use."""
        if self._client is None:
            self._client = Client(
                EditsTree(str(self.host), 64, _unwatched, _unwatched, store=str(self.store), capacity=1 << 26)
            )
        return self._client

    def close(self) -> None:
        if self._client is not None:
            self._client.close()

    # --- the guest ------------------------------------------------------------------------------------------------

    def write(self, path: str, data: bytes | str, mode: int | None = None) -> None:
        node, handle = self.client.open(path.encode(), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        self.client.write(node, handle, data.encode() if isinstance(data, str) else data, 0)
        self.client.release(node, handle)
        if mode is not None:
            self.chmod(path, mode)

    def chmod(self, path: str, mode: int) -> None:
        self.client.set(self.client.find(path.encode()).node, mode=mode)

    def guest_files(self) -> Files:
        """Return the files as the guest sees them."""
        return {os.fsdecode(path): value for path, value in self._guest_files(b"")}

    def _guest_files(self, directory: bytes) -> Iterator[tuple[bytes, tuple[object, ...]]]:
        for name in self.client.listing(directory):
            path = directory + b"/" * bool(directory) + name
            info = self.client.find(path)
            if stat.S_ISLNK(info.mode):
                yield path, ("l", self.client.readlink(path))
            elif stat.S_ISDIR(info.mode):
                yield path, ("d",)
                yield from self._guest_files(path)
            else:
                node, handle = self.client.open(path, os.O_RDONLY)
                yield path, ("f", info.mode & 0o777, self.client.read(node, handle, 1 << 15, 0))
                self.client.release(node, handle)

    # --- the host -------------------------------------------------------------------------------------------------

    def host_files(self) -> Files:
        found: Files = {}
        for path in sorted(self.host.rglob("*")):
            name = str(path.relative_to(self.host))
            if path.is_symlink():
                found[name] = ("l", os.readlink(os.fsencode(path)))
            elif path.is_dir():
                found[name] = ("d",)
            else:
                found[name] = ("f", path.stat().st_mode & 0o777, path.read_bytes())
        return found

    def review(self, ignored: Callable[[Iterable[str]], Collection[str]] = lambda _: ()) -> Review:
        edits = msgspec.convert(self.client.tree.list_edits(), list[Edit])
        return load.load(self.name, str(self.host), str(self.store), edits, len(edits), ignored)

    def change(self, path: str) -> Change:
        """Return the change of a path."""
        return {change.path: change for change in self.review().changes}[path]

    def apply(self, *paths: str, choice: apply.Choice | None = None) -> dict[str, str]:
        """Apply the changes of these paths, or all, and return the problems by path."""
        review = self.review()
        chosen = [change for change in review.changes if not paths or change.path in paths]
        outcomes, accepted = apply.apply(review, chosen, choice)
        self.accept(accepted)
        return {outcome.path: outcome.problem for outcome in outcomes}

    def accept(self, paths: list[str]) -> None:
        for path in paths:
            with contextlib.suppress(OSError):
                self.client.tree.accept(os.fsencode(path))


@contextlib.contextmanager
def edited_project() -> Iterator[EditedProject]:
    """Yield an empty project of which a guest has edits. A file next to it must not change."""
    with tempfile.TemporaryDirectory(prefix="ccvm-r") as base:
        (Path(base) / "secret").write_text("of the host")
        project = EditedProject(Path(base))
        try:
            yield project
        finally:
            project.close()
        assert (Path(base) / "secret").read_text() == "of the host"
        assert sorted(os.listdir(base)) == ["project", "secret", "store"]


def _unwatched(*_: object) -> None:
    pass
