"""All trees compared with a plain directory: the same calls have the same results and leave the same files."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from ccvm_tui import syscalls
from ccvm_tui.share.edits import EditsTree
from ccvm_tui.share.guarded import GuardedTree
from ccvm_tui.share.host import HostTree
from tests.share.client import Client, snapshot

NAMES = (b"a", b"b", b"c\n\xff")
PATHS = st.sampled_from(NAMES) | st.lists(st.sampled_from(NAMES), min_size=2, max_size=3).map(b"/".join)
ALWAYS = [("d", b"a", b""), ("f", b"b", b""), ("h", b"a/b", b"b"), ("f", b"a/a", b""), ("d", b"c\n\xff/a", b"")]
DATA = st.binary(max_size=40) | st.integers(1, 255).map(lambda byte: bytes([byte]) * 5000)
OFFSETS = st.integers(0, 60) | st.integers(4000, 9000)
FLAGS = st.sampled_from(
    (
        os.O_RDONLY,
        os.O_RDWR,
        os.O_WRONLY,
        os.O_RDWR | os.O_CREAT,
        os.O_WRONLY | os.O_CREAT | os.O_EXCL,
        os.O_RDWR | os.O_CREAT | os.O_TRUNC,
        os.O_WRONLY | os.O_TRUNC,
    )
)
FILE_MODES = st.sampled_from((0o600, 0o644, 0o755, 0o4755, 0o6777, 0o1644))
FALLOC_KEEP_SIZE, FALLOC_PUNCH_HOLE, FALLOC_ZERO_RANGE = 1, 2, 16


@dataclass
class Opened:
    """One file that is open in both trees."""

    node: int
    handle: int
    fd: int
    flags: int

    @property
    def writable(self) -> bool:
        return self.flags & 3 != os.O_RDONLY

    @property
    def readable(self) -> bool:
        return self.flags & 3 != os.O_WRONLY


@dataclass(frozen=True)
class Failed:
    """An error number. ENOTDIR counts as ENOENT, since a path may have both errors and either may be reported."""

    number: int

    @classmethod
    def of(cls, error: OSError) -> Failed:
        return cls(errno.ENOENT if error.errno == errno.ENOTDIR else error.errno or 0)


def outcome(call: Callable[[], object]) -> Any:
    """Return the result of ``call``, or its failure."""
    try:
        return call()
    except OSError as error:
        return Failed.of(error)


class Machine(RuleBasedStateMachine):
    """A client of the tree, and the same calls on a directory of the host."""

    edits = guarded = False

    def __init__(self) -> None:
        super().__init__()
        self.base = os.fsencode(tempfile.mkdtemp(prefix="ccvm-m"))
        self.model, self.shared, self.store = (
            os.path.join(self.base, name) for name in (b"model", b"shared", b"store")
        )
        for path in (self.model, self.shared, self.store):
            os.mkdir(path)
        self.opened: list[Opened] = []
        self.before: dict[bytes, tuple[object, ...]] = {}

    @initialize(seed=st.lists(st.tuples(st.sampled_from("dflh"), PATHS, PATHS), max_size=5))
    def start(self, seed: list[tuple[str, bytes, bytes]]) -> None:
        for root in (self.model, self.shared):
            for kind, path, other in ALWAYS + seed:
                outcome(partial(plant, root, kind, path, other))
        self.before = snapshot(self.shared, times=True)
        self.client = Client(self._tree())

    def _tree(self) -> HostTree:
        path = os.fsdecode(self.shared)
        if self.edits:
            return EditsTree(path, 4, unwatched, unwatched, store=os.fsdecode(self.store), capacity=1 << 24)
        if self.guarded:
            return GuardedTree(path, 4, unwatched, unwatched, blocking=True, report=unwatched)
        return HostTree(path, 4, unwatched, unwatched)

    def teardown(self) -> None:
        for opened in self.opened:
            os.close(opened.fd)
        if hasattr(self, "client"):
            self.client.close()
        shutil.rmtree(self.base)

    def at(self, path: bytes) -> bytes:
        """Return the path in the model. Raises NotADirectoryError if a symbolic link would be followed."""
        for depth in range(1, path.count(b"/") + 1):
            prefix = os.path.join(self.model, b"/".join(path.split(b"/")[:depth]))
            if os.path.islink(prefix):
                raise NotADirectoryError(20, "a link")
        return os.path.join(self.model, path)

    def both(self, actual: Callable[[], object], model: Callable[[], object]) -> None:
        got, expected = outcome(actual), outcome(model)
        if isinstance(got, Failed) or isinstance(expected, Failed):
            assert got == expected, (got, expected)

    # --- names --------------------------------------------------------------------------------------------------

    @rule(path=PATHS)
    def mkdir(self, path: bytes) -> None:
        self.both(lambda: self.client.mkdir(path), lambda: os.mkdir(self.at(path), 0o755))

    @rule(path=PATHS)
    def rmdir(self, path: bytes) -> None:
        self.both(lambda: self.client.rmdir(path), lambda: os.rmdir(self.at(path)))

    @rule(path=PATHS)
    def unlink(self, path: bytes) -> None:
        self.both(lambda: self.client.unlink(path), lambda: os.unlink(self.at(path)))

    @rule(path=PATHS, to=st.sampled_from((b"a", b"../b", b"/nowhere\xfe")))
    def symlink(self, path: bytes, to: bytes) -> None:
        self.both(lambda: self.client.symlink(to, path), lambda: os.symlink(to, self.at(path)))

    @rule(path=PATHS)
    def fifo(self, path: bytes) -> None:
        self.both(lambda: self.client.mknod(path, stat.S_IFIFO | 0o640), lambda: os.mkfifo(self.at(path), 0o640))

    @rule(old=PATHS, new=PATHS)
    def link(self, old: bytes, new: bytes) -> None:
        self.both(
            lambda: self.client.link(old, new),
            lambda: os.link(self.at(old), self.at(new), follow_symlinks=False),
        )

    @rule(old=PATHS, new=PATHS, flags=st.sampled_from((0, 0, 0, 1, 2)))
    def rename(self, old: bytes, new: bytes, flags: int) -> None:
        self.both(
            lambda: self.client.rename(old, new, flags),
            lambda: syscalls.rename(-100, self.at(old), -100, self.at(new), flags),
        )

    # --- attributes ---------------------------------------------------------------------------------------------

    def _alike(self, path: bytes, kinds: int) -> bool:
        """Return whether ``path`` exists and is a directory or of the file type ``kinds``."""
        try:
            return stat.S_IFMT(os.lstat(self.at(path)).st_mode) in (kinds, stat.S_IFDIR)
        except OSError:
            return False

    @rule(path=PATHS, mode=FILE_MODES)
    def chmod(self, path: bytes, mode: int) -> None:
        if self._alike(path, stat.S_IFREG):
            node = self.client.find(path)
            self.client.set(node.node, mode=mode)
            kept = mode & (0o3777 if stat.S_ISDIR(node.mode) else 0o1777) | 0o700 * stat.S_ISDIR(node.mode)
            self.client.set(node.node, mode=kept)
            os.chmod(self.at(path), kept)

    @rule(path=PATHS, accessed=st.integers(-(10**15), 10**18), modified=st.integers(-(10**15), 10**18))
    def utimens(self, path: bytes, accessed: int, modified: int) -> None:
        if self._alike(path, stat.S_IFREG):
            self.client.set(self.client.find(path).node, times=(accessed, modified))
            assert self.client.find(path).modified == modified
            os.utime(self.at(path), ns=(accessed, modified))

    @rule(path=PATHS, size=OFFSETS)
    def truncate(self, path: bytes, size: int) -> None:
        if self._alike(path, stat.S_IFREG) and not os.path.isdir(self.at(path)):
            self.client.set(self.client.find(path).node, size=size)
            os.truncate(self.at(path), size)

    @rule(path=PATHS, value=st.binary(min_size=1, max_size=20))
    def setxattr(self, path: bytes, value: bytes) -> None:
        if self._alike(path, stat.S_IFREG):
            self.both(
                lambda: self.client.setxattr(path, b"user.x", value),
                lambda: os.setxattr(self.at(path), "user.x", value),
            )

    @rule(path=PATHS)
    def removexattr(self, path: bytes) -> None:
        if self._alike(path, stat.S_IFREG):
            self.both(
                lambda: self.client.removexattr(path, b"user.x"),
                lambda: os.removexattr(self.at(path), "user.x"),
            )

    # --- open files ---------------------------------------------------------------------------------------------

    @rule(path=PATHS, flags=FLAGS, mode=FILE_MODES)
    def open(self, path: bytes, flags: int, mode: int) -> None:
        actual = outcome(lambda: self.client.open(path, flags, mode))
        model = outcome(lambda: os.open(self.at(path), flags | os.O_NOFOLLOW | os.O_NONBLOCK, mode & 0o1777))
        self._note(actual, model, flags)

    def _note(self, actual: Any, model: Any, flags: int) -> None:
        if isinstance(model, int) and stat.S_ISREG(os.fstat(model).st_mode):
            assert isinstance(actual, tuple), actual
            node, handle = actual
            self.opened.append(Opened(node, handle, model, flags))
        elif isinstance(model, int):
            os.close(model)  # a directory or FIFO, which Linux opens without a request
        elif errno.ENXIO not in (model.number, actual.number):  # a FIFO
            assert actual == model, (actual, model)

    @rule(path=PATHS)
    def temporary(self, path: bytes) -> None:
        if self._alike(path, stat.S_IFDIR):
            model = os.open(self.at(path), os.O_TMPFILE | os.O_RDWR, 0o600)
            self._note(self.client.temporary(path), model, os.O_RDWR)

    def _any(self, number: int) -> Opened:
        return self.opened[number % len(self.opened)]

    @precondition(lambda self: self.opened)
    @rule(number=st.integers(0, 99), path=PATHS)
    def link_open(self, number: int, path: bytes) -> None:
        opened = self._any(number)
        if os.fstat(opened.fd).st_nlink == 0:
            source = f"/proc/self/fd/{opened.fd}"
            # a file that was unlinked cannot be linked again, but a file that never had a name can
            actual = outcome(lambda: self.client.link_node(opened.node, path))
            model = outcome(lambda: os.link(source, self.at(path), src_dir_fd=opened.fd, follow_symlinks=True))
            assert actual == model, (actual, model)

    @precondition(lambda self: self.opened)
    @rule(number=st.integers(0, 99), data=DATA, offset=OFFSETS, pieces=st.integers(1, 4))
    def write(self, number: int, data: bytes, offset: int, pieces: int) -> None:
        opened = self._any(number)
        if opened.writable and data:
            assert self.client.write(opened.node, opened.handle, data, offset, pieces=pieces) == len(data)
            os.pwrite(opened.fd, data, offset)

    @precondition(lambda self: self.opened)
    @rule(number=st.integers(0, 99), size=st.integers(0, 9000), offset=OFFSETS)
    def read(self, number: int, size: int, offset: int) -> None:
        opened = self._any(number)
        if opened.readable:
            expected = os.pread(opened.fd, size, offset)
            assert self.client.read(opened.node, opened.handle, size, offset) == expected

    @precondition(lambda self: self.opened)
    @rule(number=st.integers(0, 99), size=OFFSETS, by_handle=st.booleans())
    def ftruncate(self, number: int, size: int, by_handle: bool) -> None:
        opened = self._any(number)
        if opened.writable:
            self.client.set(opened.node, size=size, handle=opened.handle if by_handle else None)
            os.ftruncate(opened.fd, size)

    @precondition(lambda self: self.opened)
    @rule(
        number=st.integers(0, 99),
        mode=st.sampled_from((0, FALLOC_KEEP_SIZE, FALLOC_KEEP_SIZE | FALLOC_PUNCH_HOLE, FALLOC_ZERO_RANGE)),
        offset=OFFSETS,
        length=st.integers(1, 9000),
    )
    def fallocate(self, number: int, mode: int, offset: int, length: int) -> None:
        opened = self._any(number)
        if opened.writable:
            self.both(
                lambda: self.client.allocate(opened.node, opened.handle, mode, offset, length),
                lambda: syscalls.allocate(opened.fd, mode, offset, length),
            )

    @precondition(lambda self: self.opened)
    @rule(number=st.integers(0, 99), mode=FILE_MODES)
    def fchmod(self, number: int, mode: int) -> None:
        opened = self._any(number)
        self.client.set(opened.node, mode=mode)
        os.fchmod(opened.fd, mode & 0o1777)

    @precondition(lambda self: self.opened)
    @rule(number=st.integers(0, 99))
    def close(self, number: int) -> None:
        opened = self.opened.pop(number % len(self.opened))
        self.client.release(opened.node, opened.handle)
        os.close(opened.fd)

    @rule(path=PATHS)
    def forget(self, path: bytes) -> None:
        """Drop a file from the caches, as the guest's kernel may do."""
        found = outcome(lambda: self.client.find(path))
        if not isinstance(found, Failed):
            node = found.node
            if not any(opened.node == node for opened in self.opened) and not self._known_below(node):
                self.client.forget(node, 1 << 40)

    def _known_below(self, number: int) -> bool:
        """Return whether an entry of the directory is known. Linux forgets a directory after its entries."""
        nodes = self.client.tree.nodes
        return any(node.parent is nodes[number] for node in nodes)

    # --- invariants --------------------------------------------------------------------------------------------

    @invariant()
    def same_open_files(self) -> None:
        for opened in self.opened:
            actual, model = self.client.attributes(opened.node), os.fstat(opened.fd)
            assert (actual.size, actual.mode, actual.links) == (model.st_size, model.st_mode, model.st_nlink)

    @invariant()
    def same_tree(self) -> None:
        assert self.client.tree_of() == snapshot(self.model)

    @invariant()
    def edits_leave_the_host_unchanged(self) -> None:
        if self.edits:
            assert snapshot(self.shared, times=True) == self.before
        else:
            assert snapshot(self.shared) == snapshot(self.model)


def unwatched(*_: object) -> None:
    """Ignore the directories to watch."""


class EditsMachine(Machine):
    edits = True


class GuardedMachine(Machine):
    guarded = True


def plant(root: bytes, kind: str, path: bytes, other: bytes) -> None:
    """Create one file of the initial tree."""
    where = os.path.join(root, path)
    Path(os.fsdecode(os.path.dirname(where))).mkdir(parents=True, exist_ok=True)
    if kind == "d":
        os.mkdir(where)
    elif kind == "f":
        with open(where, "xb") as file:
            file.write(path * 3)
        os.setxattr(where, "user.x", b"of the host")
    elif kind == "l":
        os.symlink(b"a", where)
    else:
        os.link(os.path.join(root, other), where, follow_symlinks=False)


@pytest.mark.parametrize("machine", [Machine, EditsMachine, GuardedMachine])
def test_random_calls_behave_as_on_a_plain_directory(machine: type[Machine]) -> None:
    run_state_machine_as_test(machine, settings=settings(max_examples=25, stateful_step_count=30, deadline=None))
