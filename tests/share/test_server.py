"""Hostile requests, which a guest's kernel does not normally send, and operations that must not reach the host."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccvm_tui.share import fuse
from ccvm_tui.share.edits import EditsTree
from ccvm_tui.share.fuse import ROOT_ID, Op
from ccvm_tui.share.guarded import GuardedTree
from ccvm_tui.share.host import HostTree
from ccvm_tui.share.vhost import VhostError
from tests.share.client import Client, header, snapshot

NUMBERS = st.sampled_from((0, 1, 2, 3, 7, 4096, 1 << 31, (1 << 32) - 1, 1 << 40, (1 << 63) - 1, 1 << 63, (1 << 64) - 1))
STRUCTURES = tuple(
    value for name, value in vars(fuse).items() if name.endswith("_IN") and name not in ("IN_HEADER", "INIT_IN")
)


def unwatched(*_: object) -> None:
    """Ignore the directories to watch."""


@contextlib.contextmanager
def serving(kind: str) -> Iterator[Client]:
    """Yield a client of an empty directory. A file next to the directory must not change."""
    with tempfile.TemporaryDirectory(prefix="ccvm-s") as base:
        shared, store = Path(base, "shared"), Path(base, "store")
        shared.mkdir()
        store.mkdir(mode=0o700)
        Path(base, "secret").write_text("of the host")
        if kind == "writable":
            client = Client(HostTree(str(shared), 8, unwatched, unwatched))
        elif kind == "guarded":
            tree = GuardedTree(str(shared), 8, unwatched, unwatched, blocking=True, report=unwatched)
            client = Client(tree)
        else:
            client = Client(EditsTree(str(shared), 8, unwatched, unwatched, store=str(store), capacity=1 << 20))
        yield client
        client.close()
        assert Path(base, "secret").read_text() == "of the host"
        assert sorted(os.listdir(base)) == ["secret", "shared", "store"]


class _Faults(logging.Handler):
    """A handler that collects the errors that the server logs."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(logging.Formatter().format(record))


@contextlib.contextmanager
def faults() -> Iterator[list[str]]:
    """Yield the list of errors that the server logs within the context."""
    handler = _Faults()
    logging.getLogger("ccvm_tui.share.server").addHandler(handler)
    yield handler.found
    logging.getLogger("ccvm_tui.share.server").removeHandler(handler)


@pytest.fixture(params=["writable", "guarded", "read-only"])
def client(request: pytest.FixtureRequest) -> Iterator[Client]:
    with serving(request.param) as client:
        yield client


@st.composite
def hostile(draw: st.DrawFn) -> bytes:
    """Return a request with a valid header and an arbitrary body."""
    operation = draw(st.sampled_from([op for op in Op if op not in (Op.INIT, Op.SETLKW)]) | st.integers(0, 80))
    kind = draw(st.sampled_from(STRUCTURES))
    count = len(kind.unpack(bytes(kind.size)))
    numbers = [draw(NUMBERS) for _ in range(count)]
    masks = {"Q": (1 << 64) - 1, "I": (1 << 32) - 1, "H": (1 << 16) - 1}
    letters = [letter for letter in kind.format if letter in masks]
    body: bytes = kind.pack(*(number & masks[letter] for number, letter in zip(numbers, letters, strict=True)))
    body += draw(st.sampled_from((b"", b"a\0", b"..\0", b".\0", b"../secret\0", b"a\0b\0", b"\0", b"x" * 300 + b"\0")))
    return header(int(operation), draw(NUMBERS | st.just(ROOT_ID)), 40 + len(body)) + body


@given(
    kind=st.sampled_from(("writable", "guarded", "read-only")),
    requests=st.lists(hostile() | st.binary(max_size=120), max_size=30),
    pieces=st.integers(1, 3),
)
@settings(max_examples=200)
def test_hostile_requests_only_fail(kind: str, requests: list[bytes], pieces: int) -> None:
    with serving(kind) as client:
        for path in (b"a", b"b-shm"):  # handles and nodes with small numbers
            client.release(*client.open(path, os.O_RDWR | os.O_CREAT))
            client.open(path, os.O_RDWR)
        with faults() as found:
            for request in requests:
                with contextlib.suppress(VhostError):  # would end the guest
                    client.raw(request, pieces=pieces)
        assert not found


def root_of(client: Client) -> Path:
    return Path(os.readlink(f"/proc/self/fd/{client.tree.nodes.root.fd}"))


@pytest.mark.parametrize("name", [b"..", b".", b"a/b", b"../secret", b""])
def test_names_with_a_slash_or_dots_are_refused(client: Client, name: bytes) -> None:
    with pytest.raises(OSError) as refused:
        client.request(Op.LOOKUP, ROOT_ID, name + b"\0")
    assert refused.value.errno == errno.EINVAL


def test_a_directory_cannot_be_moved_into_itself(client: Client) -> None:
    client.mkdir(b"a")
    client.mkdir(b"a/b")
    a, b = client.find(b"a").node, client.find(b"a/b").node
    for source, target in ((ROOT_ID, a), (ROOT_ID, b)):
        with pytest.raises(OSError) as refused:
            client.request(Op.RENAME2, source, fuse.RENAME2_IN.pack(target, 0, 0) + b"a\0c\0")
        assert refused.value.errno == errno.EINVAL


def test_names_have_at_most_255_bytes(client: Client) -> None:
    longest = b"\xff\n" * 127 + b"n"
    client.mkdir(b"d")
    client.mkdir(b"d/" + longest)
    assert list(client.listing(b"d")) == [longest]
    for call in (client.mkdir, lambda path: client.symlink(b"x", path), lambda path: client.open(path, os.O_CREAT)):
        with pytest.raises(OSError) as refused:
            call(b"d/" + longest + b"n")
        assert refused.value.errno == errno.ENAMETOOLONG


def test_offsets_beyond_the_maximum_file_size_are_refused(client: Client) -> None:
    node, handle = client.open(b"f", os.O_RDWR | os.O_CREAT)
    for offset in (1 << 63, (1 << 64) - 1):
        for call in (
            lambda offset: client.write(node, handle, b"x", offset),
            lambda offset: client.read(node, handle, 1, offset),
            lambda offset: client.set(node, size=offset),
            lambda offset: client.allocate(node, handle, 0, offset, 1),
            lambda offset: client.request(Op.LSEEK, node, fuse.LSEEK_IN.pack(handle, offset, os.SEEK_DATA, 0)),
        ):
            with pytest.raises(OSError):
                call(offset)


def test_pages_of_a_mapping_are_written_in_place_if_the_file_is_open_for_appending(client: Client) -> None:
    node, handle = client.open(b"log", os.O_RDWR | os.O_CREAT | os.O_APPEND)
    client.write(node, handle, b"one\ntwo\n", 0)
    client.write(node, handle, b"ONE\n", 0, flags=fuse.WRITE_CACHE)
    client.write(node, handle, b"three\n", 4)  # appended at the host's end of the file, not at the guest's
    assert client.read(node, handle, 100, 0) == b"ONE\ntwo\nthree\n"


def test_pages_that_a_mapping_read_during_a_direct_write_are_dropped(client: Client) -> None:
    node, writer = client.open(b"log", os.O_WRONLY | os.O_CREAT)
    client.write(node, writer, b"one", 0)
    _, reader = client.open(b"log", os.O_RDONLY)
    client.write(node, writer, b"two", 0)
    assert client.caches.dropped == []  # no page has been read
    assert client.read(node, reader, 3, 0) == b"two"
    client.write(node, writer, b"six", 0)
    client.write(node, writer, b"ten", 0)
    assert [node.id for node in client.caches.dropped] == [node]
    _, cached = client.open(b"log", os.O_WRONLY)  # its writes fill pages
    client.write(node, cached, b"ten", 0)
    client.write(node, writer, b"six", 0)
    assert [node.id for node in client.caches.dropped] == [node, node]


def test_opening_a_file_that_the_host_has_changed_refreshes_it_first(client: Client) -> None:
    (root_of(client) / "known").write_text("old")
    client.release(*client.open(b"known", os.O_RDONLY))
    client.release(*client.open(b"known", os.O_RDONLY))
    assert client.caches.refreshed == []
    node = client.find(b"known").node
    (root_of(client) / "known").write_text("new and longer")
    client.request(Op.OPEN, node, fuse.OPEN_IN.pack(os.O_RDONLY, 0))
    assert [node.id for node in client.caches.refreshed] == [node]


def test_the_guests_own_changes_cause_no_refresh(client: Client) -> None:
    node, handle = client.open(b"own", os.O_RDWR | os.O_CREAT)
    client.write(node, handle, b"content", 0)
    client.release(node, handle)
    client.set(node, mode=0o600)
    client.set(node, times=(1, 1))
    client.set(node, size=3)
    client.rename(b"own", b"moved")
    client.link(b"moved", b"linked")
    client.release(*client.open(b"moved", os.O_RDONLY))
    assert client.caches.refreshed == []


def test_no_file_gets_a_set_user_id_bit(client: Client) -> None:
    node, handle = client.open(b"made", os.O_RDWR | os.O_CREAT, 0o6755)
    client.mknod(b"node", stat.S_IFREG | 0o6755)
    client.mkdir(b"directory", 0o6755)
    client.set(node, mode=0o6755)
    client.set(client.find(b"node").node, mode=0o4755)
    temporary, _ = client.temporary(b"")
    client.set(temporary, mode=0o6777)
    client.link_node(temporary, b"linked")
    client.rename(b"made", b"renamed")
    client.set(client.find(b"directory").node, mode=0o6755)
    client.release(node, handle)
    bits = {path: mode[0] & 0o6000 for path, mode in client.tree_of().items()}  # type: ignore[operator]
    assert bits == {b"renamed": 0, b"node": 0, b"linked": 0, b"directory": stat.S_ISGID}


@pytest.mark.parametrize("kind", [stat.S_IFCHR, stat.S_IFBLK])
def test_device_nodes_are_refused(client: Client, kind: int) -> None:
    with pytest.raises(PermissionError):
        client.mknod(b"device", kind | 0o666)


def test_a_known_file_that_becomes_a_symbolic_link_is_not_followed(client: Client) -> None:
    """The guest knows a file and a directory. Then both become symbolic links to files outside."""
    root = root_of(client)
    outside = Path(root.parent, "store", "outside")
    outside.mkdir()
    (outside / "f").write_text("secret")
    (root / "d").mkdir()
    (root / "d" / "f").write_text("shared")
    (root / "f").write_text("shared")
    file, below = client.find(b"f").node, client.find(b"d/f").node
    directory = client.find(b"d").node
    client.tree.close_directory(client.tree.nodes[directory])
    (root / "f").unlink()
    (root / "f").symlink_to(outside / "f")
    (root / "d").rename(root / "was d")
    (root / "d").symlink_to(outside)
    before = snapshot(os.fsencode(outside), times=True)
    for node in (file, below, directory):
        for request in (
            lambda node: client.request(Op.OPEN, node, fuse.OPEN_IN.pack(os.O_RDWR | os.O_TRUNC, 0)),
            lambda node: client.set(node, mode=0o777),
            lambda node: client.set(node, times=(1, 1)),
            lambda node: client.set(node, size=0),
            lambda node: client.request(Op.UNLINK, node, b"f\0"),
            lambda node: client.request(Op.SETXATTR, node, fuse.SETXATTR_IN.pack(1, 0) + b"user.x\0y"),
            lambda node: client.request(Op.READDIR, node, fuse.READ_IN.pack(0, 0, 4096, 0, 0, 0, 0)),
        ):
            with pytest.raises(OSError):
                request(node)
    assert snapshot(os.fsencode(outside), times=True) == before


def test_a_tree_of_3000_levels_can_be_used(client: Client) -> None:
    parent = ROOT_ID
    for _ in range(3000):
        entry = client.request(Op.MKDIR, parent, fuse.MKDIR_IN.pack(0o755, 0) + b"d\0")
        parent = fuse.ENTRY.unpack_from(entry)[0]
    client.request(Op.MKDIR, ROOT_ID, fuse.MKDIR_IN.pack(0o755, 0) + b"e\0")
    # its descriptor has been closed: only the last few are kept
    middle = client.tree.nodes[2].id
    assert client.tree.nodes[parent].is_directory
    client.request(Op.MKDIR, middle, fuse.MKDIR_IN.pack(0o755, 0) + b"f\0")
    client.request(Op.MKDIR, parent, fuse.MKDIR_IN.pack(0o755, 0) + b"f\0")
    body = fuse.RENAME2_IN.pack(ROOT_ID, 0, 0) + b"f\0g\0"
    client.request(Op.RENAME2, parent, body)
    assert set(client.listing(b"")) == {b"d", b"e", b"g"}
    subprocess.run(["rm", "-rf", root_of(client) / "d"], check=True)  # too deep for Python


def test_a_set_user_id_program_of_the_host_loses_the_bit_when_the_guest_changes_it(client: Client) -> None:
    root = root_of(client)
    changes: dict[str, Callable[[int, int], object]] = {
        "write": lambda node, handle: client.write(node, handle, b"x", 0),
        "truncate": lambda node, handle: client.set(node, size=1, handle=handle),
        "allocate": lambda node, handle: client.allocate(node, handle, 0, 0, 100),
        "chmod": lambda node, _: client.set(node, mode=0o6755),
        "time": lambda node, _: client.set(node, times=(1, 1)),
    }
    for name, change in changes.items():
        (root / name).write_bytes(b"program")
        (root / name).chmod(0o4755)
        node, handle = client.open(name.encode(), os.O_RDWR)
        change(node, handle)
        client.release(node, handle)
        kept = stat.S_ISUID if name == "time" else 0
        if isinstance(client.tree, EditsTree):
            kept = 0  # a copy never has the bit
            assert (root / name).stat().st_mode & 0o7777 == 0o4755
        assert client.find(name.encode()).mode & stat.S_ISUID == kept, name


def test_a_directory_of_5000_names_is_listed_while_they_are_deleted(client: Client) -> None:
    root = root_of(client)
    (root / "d").mkdir()
    for number in range(5_000):
        (root / "d" / f"{number:05}").touch()
    node, offset, listed = client.find(b"d").node, 0, []
    while data := client.request(Op.READDIR, node, fuse.READ_IN.pack(0, offset, 32768, 0, 0, 0, 0)):
        at = 0
        while at < len(data):
            _, offset, length, _ = fuse.DIRENT.unpack_from(data, at)
            name = data[at + fuse.DIRENT.size : at + fuse.DIRENT.size + length]
            at += (fuse.DIRENT.size + length + 7) // 8 * 8
            if name not in (b".", b".."):
                client.unlink(b"d/" + name)
                listed.append(name)
    assert len(set(listed)) == len(listed) == 5_000
    client.rmdir(b"d")


def test_the_shared_directory_can_be_moved(client: Client) -> None:
    root = root_of(client)
    client.mkdir(b"before")
    root.rename(root.parent / "store" / "moved")
    try:
        client.mkdir(b"after")
        assert set(client.listing(b"")) == {b"before", b"after"}
    finally:
        (root.parent / "store" / "moved").rename(root)


def test_the_shared_directory_can_be_deleted(client: Client) -> None:
    root = root_of(client)
    node, handle = client.open(b"open", os.O_RDWR | os.O_CREAT)
    client.write(node, handle, b"kept", 0)
    shutil.rmtree(root)
    try:
        assert client.read(node, handle, 9, 0) == b"kept"
        if isinstance(client.tree, EditsTree):
            assert set(client.listing(b"")) == {b"open"}
        else:
            assert client.listing(b"") == {}
            with pytest.raises(FileNotFoundError):
                client.mkdir(b"new")
    finally:
        root.mkdir()


def test_opening_a_file_that_the_host_has_replaced_fails_with_estale(client: Client) -> None:
    """It fails even if the old file is open. A file that the guest itself has deleted can be opened by descriptor."""
    root = root_of(client)
    (root / "f").write_text("old")
    node, handle = client.open(b"f", os.O_RDONLY)
    (root / "new").write_text("new")
    (root / "new").rename(root / "f")
    with pytest.raises(OSError) as refused:
        client.request(Op.OPEN, node, fuse.OPEN_IN.pack(os.O_RDONLY, 0))
    assert refused.value.errno == errno.ESTALE
    assert client.read(node, handle, 9, 0) == b"old"
    node, handle = client.open(b"f", os.O_RDONLY)
    client.unlink(b"f")
    client.request(Op.OPEN, node, fuse.OPEN_IN.pack(os.O_RDONLY, 0))
    assert client.read(node, handle, 9, 0) == b"new"


def test_a_file_that_reuses_an_inode_number_is_another_file(client: Client) -> None:
    """The guest knows ``old``. The host deletes it, and the next file has its inode number."""
    root = root_of(client)
    (root / "old").write_text("old")
    old = client.find(b"old")
    (root / "old").rename(root / "new")  # equivalent to another file with the same number
    new = client.find(b"new")
    assert new.inode == old.inode
    assert new.node != old.node
    with pytest.raises(OSError) as refused:
        client.request(Op.OPEN, old.node, fuse.OPEN_IN.pack(os.O_RDONLY, 0))
    assert refused.value.errno == errno.ESTALE
    client.release(*client.open(b"new", os.O_RDONLY))


def test_a_hard_link_survives_the_directory_of_its_other_name(client: Client) -> None:
    """The guest knows the file by its name in the directory that the host removes or replaces."""
    root = root_of(client)
    (root / "kept").write_text("content")
    for replaced in (False, True):
        (root / "d").mkdir()
        (root / "d/link").hardlink_to(root / "kept")
        node = client.find(b"kept").node
        assert client.find(b"d/link").node == node
        shutil.rmtree(root / "d")
        if replaced:
            (root / "d").mkdir()
        assert client.attributes(node).size == len("content")
        handle = fuse.OPEN_OUT.unpack_from(client.request(Op.OPEN, node, fuse.OPEN_IN.pack(os.O_RDONLY, 0)))[0]
        assert client.read(node, handle, 99, 0) == b"content"
        client.release(node, handle)
