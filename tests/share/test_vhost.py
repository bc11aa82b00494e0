"""The device's back end with a guest and a QEMU that violate the protocol."""

from __future__ import annotations

import contextlib
import gc
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ccvm_tui.share.vhost import Backend, Queue, Request, VhostError

GUEST, USER, SIZE = 0x10000, 0x7F0000000000, 1 << 16
DESCRIPTORS, AVAILABLE, USED, DATA = 0, 0x1000, 0x2000, 0x4000
QUEUE_SIZE = 8
NEED_REPLY = 1 << 3
NEXT, WRITE, INDIRECT = 1, 2, 4


@pytest.fixture(scope="module", autouse=True)
def frozen() -> Iterator[None]:
    """Exclude what exists from garbage collection, so that a test can afford many collections, and count descriptors."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@dataclass
class Device:
    """A back end with one memory region, and the peer's end of its connection."""

    backend: Backend
    peer: socket.socket
    memory: int

    def message(self, number: int, payload: bytes, fds: list[int] | None = None, flags: int = 1) -> None:
        socket.send_fds(self.peer, [struct.pack("<III", number, flags, len(payload)) + payload], fds or [])
        assert self.backend.receive()

    def poke(self, offset: int, data: bytes) -> None:
        os.pwrite(self.memory, data, offset)

    @property
    def queue(self) -> Queue:
        return self.backend.queues[0]


@contextlib.contextmanager
def device() -> Iterator[Device]:
    device_end, peer = socket.socketpair()
    memory = os.memfd_create("guest")
    os.ftruncate(memory, SIZE)
    watched: list[int] = []
    backend = Backend(device_end, 2, lambda fd, _: watched.append(fd), watched.remove)
    target = Device(backend, peer, memory)
    target.message(5, struct.pack("<IIQQQQ", 1, 0, GUEST, SIZE, USER, 0), [memory])
    target.message(8, struct.pack("<II", 0, QUEUE_SIZE))
    target.message(9, struct.pack("<IIQQQQ", 0, 0, USER + DESCRIPTORS, USER + USED, USER + AVAILABLE, 0))
    yield target
    for queue in backend.queues:
        queue.set_kick(-1)
        queue.set_call(-1)
    device_end.close()
    peer.close()
    os.close(memory)


def descriptor(address: int, length: int, flags: int = 0, following: int = 0) -> bytes:
    return struct.pack("<QIHH", address, length, flags, following)


def offered(target: Device, *descriptors: bytes, head: int = 0) -> list[Request]:
    target.poke(DESCRIPTORS, b"".join(descriptors))
    target.poke(AVAILABLE, struct.pack("<HHH", 0, 1, head))
    return list(target.queue.requests())


ADDRESSES = st.sampled_from(
    (0, GUEST - 1, GUEST, GUEST + DATA, GUEST + SIZE - 1, GUEST + SIZE, (1 << 64) - 1, USER)
) | st.integers(0, (1 << 64) - 1)
LENGTHS = st.sampled_from((0, 1, 16, 24, 4096, SIZE, (1 << 32) - 1)) | st.integers(0, (1 << 32) - 1)
CHAINS = st.lists(
    st.builds(descriptor, ADDRESSES, LENGTHS, st.integers(0, 7), st.integers(0, 9)), min_size=1, max_size=QUEUE_SIZE
)


@given(
    table=CHAINS, indirect=CHAINS, ring=st.binary(max_size=40), head=st.integers(0, 12), reply=st.binary(max_size=99)
)
@settings(max_examples=150)
@pytest.mark.attack
def test_chains_outside_the_guests_memory_are_refused(
    table: list[bytes], indirect: list[bytes], ring: bytes, head: int, reply: bytes
) -> None:
    with device() as target:
        target.poke(DATA, b"".join(indirect))
        target.poke(AVAILABLE, ring)
        with contextlib.suppress(VhostError):
            for request in offered(target, *table, head=head):
                assert len(request.readable) + len(request.writable) <= 1025
                assert all(len(part) <= SIZE for part in (*request.readable, *request.writable))
                request.reply(reply)


@pytest.mark.attack
def test_a_circular_chain_is_refused() -> None:
    with device() as target, pytest.raises(VhostError):
        offered(target, descriptor(GUEST + DATA, 8, NEXT, 1), descriptor(GUEST + DATA, 8, NEXT, 0))


@pytest.mark.attack
def test_an_indirect_table_that_refers_to_itself_is_refused() -> None:
    with device() as target:
        target.poke(DATA, descriptor(GUEST + DATA, 16, INDIRECT))
        with pytest.raises(VhostError):
            offered(target, descriptor(GUEST + DATA, 16, INDIRECT))


def test_a_request_and_its_reply_can_span_several_descriptors() -> None:
    with device() as target:
        target.poke(DATA, b"abcdef")
        (request,) = offered(
            target,
            descriptor(GUEST + DATA, 4, NEXT, 1),
            descriptor(GUEST + DATA + 4, 2, NEXT, 2),
            descriptor(GUEST + DATA + 100, 3, NEXT | WRITE, 3),
            descriptor(GUEST + DATA + 200, 5, WRITE),
        )
        assert b"".join(request.readable) == b"abcdef"
        request.reply(b"1234567")
        assert os.pread(target.memory, 3, DATA + 100) + os.pread(target.memory, 4, DATA + 200) == b"1234567"
        assert struct.unpack("<HHII", os.pread(target.memory, 12, USED)) == (0, 1, 0, 7)
        with pytest.raises(VhostError):
            request.reply(b"123456789")


MESSAGES = st.tuples(
    st.integers(0, 45),
    st.binary(max_size=80)
    | st.lists(st.sampled_from((0, 1, 2, 7, 8, 1 << 15, 1 << 31, (1 << 32) - 1)), max_size=12).map(
        lambda numbers: struct.pack(f"<{len(numbers)}I", *numbers)
    ),
    st.integers(0, 3),
    st.booleans(),
)


@given(messages=st.lists(MESSAGES, max_size=12))
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@pytest.mark.attack
def test_messages_are_handled_or_refused(messages: list[tuple[int, bytes, int, bool]]) -> None:
    before = len(os.listdir("/proc/self/fd"))
    deliver(messages)
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before


def deliver(messages: list[tuple[int, bytes, int, bool]]) -> None:
    """Send ``messages`` to a device until it refuses a message."""
    with device() as target, contextlib.suppress(VhostError):
        for number, payload, count, needs_reply in messages:
            fds = [os.memfd_create("given") for _ in range(count)]
            try:
                target.message(number, payload, fds, flags=1 | NEED_REPLY * needs_reply)
            finally:
                for fd in fds:
                    os.close(fd)
            list(target.queue.requests())


@pytest.mark.attack
def test_a_message_that_is_too_long_is_refused() -> None:
    with device() as target:
        target.peer.sendall(struct.pack("<III", 1, 1, 1 << 20))
        with pytest.raises(VhostError):
            target.backend.receive()


def test_the_end_of_the_connection_is_an_error_only_within_a_message() -> None:
    with device() as target:
        target.peer.sendall(struct.pack("<III", 8, 1, 8) + b"xx")
        target.peer.shutdown(socket.SHUT_WR)
        with pytest.raises(VhostError):
            target.backend.receive()
    with device() as target:
        target.peer.shutdown(socket.SHUT_WR)
        assert target.backend.receive() is False
