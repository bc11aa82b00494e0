"""Floods and oversized requests at the file server, in this process: its memory stays bounded."""

from __future__ import annotations

import errno
import os
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from ccvm_tui.share import fuse, nodes
from ccvm_tui.share.edits import EditsTree
from ccvm_tui.share.fuse import ROOT_ID, Op
from ccvm_tui.share.host import HostTree
from ccvm_tui.share.request import BODY_MAX
from ccvm_tui.share.vhost import VhostError
from tests.share.client import Client, header
from tests.share.test_vhost import NEXT, WRITE, descriptor, device, offered

pytestmark = pytest.mark.attack


def unwatched(*_: object) -> None:
    """Ignore the directories to watch."""


@pytest.fixture(params=["writable", "read-only"])
def client(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Client]:
    shared, store = tmp_path / "shared", tmp_path / "store"
    shared.mkdir()
    store.mkdir(mode=0o700)
    if request.param == "writable":
        client = Client(HostTree(str(shared), 8, unwatched, unwatched))
    else:
        client = Client(EditsTree(str(shared), 8, unwatched, unwatched, store=str(store), capacity=1 << 20))
    yield client
    client.close()


def test_a_request_of_8_mib_is_not_copied(client: Client) -> None:
    for operation in Op:
        if operation in (Op.FORGET, Op.BATCH_FORGET, Op.WRITE):
            continue
        request = header(operation, ROOT_ID, 8 << 20) + bytes(8 << 20)
        tracemalloc.start()
        try:
            reply = client.raw(request)
            # the client itself has a copy of the request
            assert tracemalloc.get_traced_memory()[1] < 9 << 20
        finally:
            tracemalloc.stop()
        assert reply is not None
        assert fuse.OUT_HEADER.unpack_from(reply)[1] == -errno.E2BIG


def test_the_longest_request_is_accepted(client: Client) -> None:
    body = b"missing\0"
    body += bytes(BODY_MAX - fuse.IN_HEADER.size - len(body))
    with pytest.raises(FileNotFoundError):
        client.request(Op.UNLINK, ROOT_ID, body)


def test_names_that_do_not_exist_take_a_bounded_amount_of_memory(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nodes, "MISSING_MAX", 1000)
    for name in ("first", "second"):
        client.mkdir(name.encode())
    directories = [client.find(name.encode()).node for name in ("first", "second")]

    def lookups(count: int) -> list[int]:
        """Look names up, and return for how many seconds the guest may cache that each does not exist."""
        replies = [
            client.request(Op.LOOKUP, directories[number % 2], b"missing %d\0" % number) for number in range(count)
        ]
        return [fuse.ENTRY.unpack_from(reply)[2] for reply in replies]

    lookups(3000)
    assert sum(len(client.tree.nodes[directory].children) for directory in directories) <= 1000
    # what is not recorded must not be cached, because the guest would not be notified when it is created
    assert lookups(3000)[2500:] == [0] * 500


def test_a_name_is_recorded_again_after_others_came_into_being(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes, "MISSING_MAX", 10)
    monkeypatch.setattr(nodes, "_COUNTED_AFTER", 5)
    client.mkdir(b"d")
    directory = client.find(b"d").node
    for number in range(20):
        client.lookup(directory, b"%d" % number)
    for number in range(10):
        client.mkdir(b"d/%d" % number)
    for number in range(100, 110):
        client.lookup(directory, b"%d" % number)
    assert b"109" in client.tree.nodes[directory].children


def test_a_chain_that_is_made_available_again_before_its_reply_is_refused() -> None:
    """Requests can wait, for a lock or a disk, so a guest could otherwise have any number of them."""
    with device() as target:
        chain = (descriptor(0x14000, 40, NEXT, 1), descriptor(0x15000, 100, WRITE))
        requests = offered(target, *chain)
        for index in range(2, 9):
            target.poke(0x1000 + 4 + 2 * (index - 1), bytes(2))
            target.poke(0x1002, index.to_bytes(2, "little"))
            requests += list(target.queue.requests())
        target.poke(0x1002, (9).to_bytes(2, "little"))
        with pytest.raises(VhostError, match="more than 8 requests"):
            list(target.queue.requests())
        for request in requests:
            request.reply(b"")
        target.poke(0x1002, (11).to_bytes(2, "little"))
        assert len(list(target.queue.requests())) == 2


def test_locks_that_are_waited_for_are_bounded_by_the_host(client: Client) -> None:
    """Each owner of locks has a descriptor of the host, of which a process has a limited number."""
    node, handle = client.open(b"f", os.O_RDWR | os.O_CREAT)
    for owner in range(200):
        body = fuse.LK_IN.pack(handle, owner, owner, owner, 1, 1, 0, 0)
        client.request(Op.SETLK, node, body)
    assert len(os.listdir("/proc/self/fd")) < 400
    client.release(node, handle)
    assert len(os.listdir("/proc/self/fd")) < 100
