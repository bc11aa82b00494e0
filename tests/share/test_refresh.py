"""Instructions for the helper in the guest when programs on the host change many files."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from ccvm_tui.share import fuse
from ccvm_tui.share.edits import EditsTree
from ccvm_tui.share.host import HostTree
from ccvm_tui.share.nodes import Node
from ccvm_tui.share.refresh import QUEUE_MAX, Refresher
from ccvm_tui.share.watch import Watches
from tests.share.client import Client, header

FILES = QUEUE_MAX + 1000
PER_DIRECTORY = 100
HELPER = 2


class Shared:
    """A directory that a guest has looked into, with a helper that completes each instruction immediately."""

    def __init__(self, path: Path, store: Path | None) -> None:
        self.path = path
        self._watches = Watches()
        self._sent = bytearray()
        self._refresher = Refresher(self._sent.extend, lambda _: None, lambda: 0.0)
        followed = (self._watches.add, self._watches.remove)
        tree = HostTree(str(path), 64, *followed)
        if store is not None:
            tree = EditsTree(str(path), 64, *followed, store=str(store), capacity=1 << 20)
        self.client = Client(tree, self._refresher)
        self._refresher.receive(b"hello %d\n" % HELPER)

    def instructions(self, *, overtaken: bool = False) -> list[tuple[bytes, bytes]]:
        """Return the operation and path of each instruction, until none is left.

        If they are ``overtaken``, a file is changed and looked up between the request and the completion of its
        instruction.
        """
        found = []
        self._refresher.handle_events(self._watches)
        while self._sent:
            length = int.from_bytes(self._sent[:4], "little")
            number, operation, path, *_ = bytes(self._sent[4 : 4 + length]).split(b"\0")
            del self._sent[: 4 + length]
            found.append((operation, path))
            if operation == b"modify":
                self._modify(path)
            if overtaken:
                (self.path / os.fsdecode(path)).write_text("changed again")
                self.client.find(path)
            self._refresher.receive(b"done %s 0\n" % number)
        return found

    def _modify(self, path: bytes) -> None:
        """Request what the kernel of the guest requests when the helper modifies a file."""
        node: Node | None = self.client.tree.nodes.root
        for name in path.split(b"/"):
            node = node and node.children.get(name)
        if node is not None:
            self.client.pid = HELPER
            self.client.set(node.id, times=(0, 0))
            self.client.pid = 1

    def opened(self, path: bytes) -> bool:
        """Open a file, and return whether the request is answered before the helper completes an instruction."""
        node = self.client.tree.nodes.root.children[path]
        assert node is not None
        body = fuse.OPEN_IN.pack(os.O_RDONLY, 0)
        head = header(fuse.Op.OPEN, node.id, 40 + len(body))
        return self.client.raw(head + body) is not None


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Shared]:
    """A shared directory with one file, which the guest has looked up."""
    (tmp_path / "file").write_text("one")
    shared = Shared(tmp_path, None)
    shared.client.find(b"file")
    assert shared.opened(b"file")
    yield shared
    shared.client.close()


def test_a_file_is_refreshed_when_it_is_opened_if_replies_with_two_states_may_have_been_processed_in_any_order(
    small: Shared,
) -> None:
    """The guest's kernel ignores the attributes in a reply if it has processed another one since the request."""
    (small.path / "file").write_text("two, and longer")
    small.client.find(b"file")
    assert not small.opened(b"file")
    assert small.instructions() == [(b"modify", b"file")]
    assert small.opened(b"file")
    assert small.instructions() == []


def test_a_file_is_refreshed_again_if_a_reply_overtook_the_helper(small: Shared) -> None:
    (small.path / "file").write_text("two")
    assert small.instructions(overtaken=True) == [(b"modify", b"file")]
    assert not small.opened(b"file")
    assert small.instructions() == [(b"modify", b"file")]
    assert small.opened(b"file")


@pytest.fixture(params=["writable", "read-only"])
def shared(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Shared]:
    project, store = tmp_path / "project", tmp_path / "store"
    store.mkdir(mode=0o700)
    for number in range(FILES):
        path = project / f"tree/d{number // PER_DIRECTORY}/f{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("a")
    shared = Shared(project, store if request.param == "read-only" else None)
    for number in range(FILES):
        shared.client.find(b"tree/d%d/f%d" % (number // PER_DIRECTORY, number))
    yield shared
    shared.client.close()


def test_only_the_top_directory_of_a_removed_tree_is_removed_in_the_guest(
    shared: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = count_calls(monkeypatch)
    shutil.rmtree(shared.path / "tree")
    assert [path for operation, path in shared.instructions() if operation == b"rmdir"] == [b"tree"]
    assert len(compared) <= 2
    assert shared.instructions() == []


def test_changes_beyond_the_queue_limit_are_found_by_one_comparison(
    shared: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = count_calls(monkeypatch)
    for path in (shared.path / "tree").glob("*/*"):
        path.write_text("longer")
    (shared.path / "new").write_text("")
    done = shared.instructions()
    changed = {path for operation, path in done if operation == b"modify"}
    assert changed == {str(path.relative_to(shared.path)).encode() for path in (shared.path / "tree").glob("*/*")}
    assert len(compared) <= 2


def count_calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that grows by one element with each comparison of the whole cache."""
    calls: list[int] = []
    compare_all = Refresher.compare_all

    def counted(self: Refresher) -> None:
        calls.append(1)
        compare_all(self)

    monkeypatch.setattr(Refresher, "compare_all", counted)
    return calls
