"""The back end of a vhost-user device: guest memory, virtqueues, and the messages that configure them.

Sources: QEMU's docs/interop/vhost-user.rst; virtio 1.2, 2.7 (split virtqueues).

The content of guest memory is untrusted. Addresses are checked against the memory table, the length of chains is
limited, and data is copied before it is parsed, because the guest may change it at any time.
"""

from __future__ import annotations

import logging
import mmap
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar

log = logging.getLogger(__name__)

_HEADER = struct.Struct("<III")
_REGION = struct.Struct("<QQQQ")
_STATE = struct.Struct("<II")
_ADDRESSES = struct.Struct("<IIQQQQ")
_U64 = struct.Struct("<Q")
_DESCRIPTOR = struct.Struct("<QIHH")
_USED = struct.Struct("<II")

_PAYLOAD_MAX = 4096
_FDS_MAX = 32
_VERSION = 1
_REPLY = 1 << 2
_NEED_REPLY = 1 << 3

_F_INDIRECT_DESC = 1 << 28
_F_PROTOCOL_FEATURES = 1 << 30
_F_VERSION_1 = 1 << 32
# Without VIRTIO_RING_F_EVENT_IDX the guest kicks for each request. Suppressing kicks would require memory barriers.
_FEATURES = _F_VERSION_1 | _F_INDIRECT_DESC | _F_PROTOCOL_FEATURES
_PROTOCOL_MQ = 1 << 0
_PROTOCOL_REPLY_ACK = 1 << 3
_PROTOCOL_FEATURES = _PROTOCOL_MQ | _PROTOCOL_REPLY_ACK

_DESC_NEXT, _DESC_WRITE, _DESC_INDIRECT = 1, 2, 4
_NO_INTERRUPT = 1
_NO_FD = 1 << 8
_CHAIN_MAX = 1 << 10
_SIZE_MAX = 1 << 15

QUEUES_MAX = 8
"""The maximum number of queues of a device: one for requests of high priority, the others for all other requests."""


class VhostError(Exception):
    """QEMU violated the protocol, or the guest corrupted its queues. The server cannot continue."""


@dataclass(frozen=True, slots=True)
class _Region:
    guest: int
    size: int
    user: int
    view: memoryview


class GuestMemory:
    """The regions of guest memory that QEMU has shared."""

    def __init__(self) -> None:
        self._regions: list[_Region] = []

    def replace(self, table: bytes, fds: list[int]) -> None:
        """Map the regions of a SET_MEM_TABLE message in place of the current ones. Raises VhostError if that fails."""
        (count,) = struct.unpack_from("<I", table)
        if count != len(fds) or len(table) < 8 + count * _REGION.size:
            raise VhostError(f"a memory table of {count} regions with {len(fds)} descriptors")
        regions = []
        for number, fd in enumerate(fds):
            guest, size, user, offset = _REGION.unpack_from(table, 8 + number * _REGION.size)
            try:
                mapping = mmap.mmap(fd, size, offset=offset)
            except (OSError, ValueError, OverflowError) as error:
                raise VhostError(f"memory of {size} bytes at {offset:#x} of a file: {error}") from error
            regions.append(_Region(guest, size, user, memoryview(mapping)))
        self._regions = regions

    def guest(self, address: int, size: int) -> memoryview:
        """Return ``size`` bytes at a physical address of the guest. Raises VhostError if no region contains them."""
        for region in self._regions:
            start = address - region.guest
            if 0 <= start < region.size and start + size <= region.size:
                return region.view[start : start + size]
        raise VhostError(f"no guest memory at {address:#x}, {size} bytes")

    def user(self, address: int, size: int) -> memoryview:
        """Return ``size`` bytes at an address in QEMU's process, as messages specify for rings.

        Raises VhostError if no region contains them.
        """
        for region in self._regions:
            start = address - region.user
            if 0 <= start < region.size and start + size <= region.size:
                return region.view[start : start + size]
        raise VhostError(f"no guest memory at QEMU's {address:#x}, {size} bytes")


@dataclass(slots=True)
class Request:
    """One chain of descriptors: the memory that the device reads, and the memory that it writes."""

    queue: Queue
    head: int
    readable: list[memoryview]
    writable: list[memoryview]

    def finish(self, written: int) -> None:
        """Return the chain to the guest, with ``written`` bytes in its writable part. Can be called from any thread."""
        self.queue.finish(self.head, written)

    def reply(self, data: bytes) -> None:
        """Write ``data`` to the chain's writable part and return the chain. Raises VhostError if it is too small."""
        at = 0
        for segment in self.writable:
            part = data[at : at + len(segment)]
            if not part:
                break
            segment[: len(part)] = part
            at += len(part)
        if at < len(data):
            raise VhostError(f"the chain is too small for a reply of {len(data)} bytes")
        self.finish(at)


class Queue:
    """One split virtqueue."""

    def __init__(self, memory: GuestMemory) -> None:
        self._memory = memory
        self._size = 0
        self._addresses = (0, 0, 0)
        self._next = 0
        self._used_index = 0
        self._unanswered = 0
        self._lock = threading.Lock()
        self._descriptors: memoryview | None = None
        self._available: memoryview
        self._used: memoryview
        self._used_header: memoryview
        self.kick = -1
        self._call = -1
        self.enabled = False

    # --- configuration by messages --------------------------------------------------------------------------

    def resize(self, size: int) -> None:
        """Set the number of descriptors. Raises VhostError if it is invalid."""
        if not 0 < size <= _SIZE_MAX or size & (size - 1):
            raise VhostError(f"a queue of {size} descriptors")
        self._size = size
        self._descriptors = None

    def set_addresses(self, descriptors: int, used: int, available: int) -> None:
        """Set the addresses of the three parts of the queue, in QEMU's process. 0 means not set."""
        self._addresses = (descriptors, used, available)
        self.unmap()

    def unmap(self) -> None:
        """Have the rings mapped again before the next request."""
        self._descriptors = None

    def set_next(self, index: int) -> None:
        """Set the index of the next available entry."""
        self._next = index & 0xFFFF

    def set_kick(self, fd: int) -> None:
        """Set the eventfd with which the guest announces requests, -1 for none. The queue owns it."""
        _close(self.kick)
        self.kick = fd

    def set_call(self, fd: int) -> None:
        """Set the eventfd that interrupts the guest, -1 for none. The queue owns it."""
        with self._lock:
            _close(self._call)
            self._call = fd

    def stop(self) -> int:
        """Stop accepting requests, and return the index of the next available entry."""
        self.set_kick(-1)
        with self._lock:
            self._unanswered = 0
        self._descriptors = None
        return self._next

    def _map(self) -> bool:
        if not self._size or not any(self._addresses):
            return False
        descriptors, used, available = self._addresses
        self._descriptors = self._memory.user(descriptors, 16 * self._size)
        self._available = self._memory.user(available, 4 + 2 * self._size).cast("H")
        self._used = self._memory.user(used, 4 + 8 * self._size)
        self._used_header = self._used[:4].cast("H")
        self._used_index = self._used_header[1]
        return True

    # --- requests ---------------------------------------------------------------------------------------------

    def requests(self) -> Iterator[Request]:
        """Yield the requests that the guest has made available since the last call.

        Raises VhostError if a chain is malformed, or if there are more chains than descriptors: then one was made
        available again before it was returned. So the number of requests that wait for something is limited.
        """
        if self._descriptors is None and not self._map():
            return
        available, mask = self._available, self._size - 1
        while self._next != available[1]:
            head = available[2 + (self._next & mask)]
            self._next = (self._next + 1) & 0xFFFF
            with self._lock:
                self._unanswered += 1
            if self._unanswered > self._size:
                raise VhostError(f"more than {self._size} requests at a time")
            yield self._chain(head)

    def _chain(self, head: int) -> Request:
        readable: list[memoryview] = []
        writable: list[memoryview] = []
        table, count, index = self._descriptors, self._size, head
        assert table is not None
        memory = self._memory.guest
        for _ in range(_CHAIN_MAX + 1):
            if index >= count:
                raise VhostError(f"descriptor {index} of {count}")
            address, length, flags, following = _DESCRIPTOR.unpack_from(table, 16 * index)
            if flags & _DESC_INDIRECT:
                table, count, index = memory(address, length), length // 16, 0
                continue
            (writable if flags & _DESC_WRITE else readable).append(memory(address, length))
            if not flags & _DESC_NEXT:
                return Request(self, head, readable, writable)
            index = following
        raise VhostError(f"a chain of more than {_CHAIN_MAX} descriptors")

    def finish(self, head: int, written: int) -> None:
        """Return the chain that starts at ``head`` to the guest. Can be called from any thread."""
        # Releasing the lock in between orders the stores to guest memory on processors with a weaker memory model.
        with self._lock:
            _USED.pack_into(self._used, 4 + 8 * (self._used_index & (self._size - 1)), head, written)
        with self._lock:
            self._unanswered = max(0, self._unanswered - 1)
            self._used_index = (self._used_index + 1) & 0xFFFF
            self._used_header[1] = self._used_index
            if not self._available[0] & _NO_INTERRUPT and self._call >= 0:
                os.eventfd_write(self._call, 1)


class Backend:
    """One device with its connection to QEMU.

    ``watch`` is called with an eventfd and the queue whose requests it announces, ``unwatch`` with an eventfd that must
    no longer be watched.
    """

    def __init__(
        self,
        connection: socket.socket,
        queues: int,
        watch: Callable[[int, Queue], None],
        unwatch: Callable[[int], None],
    ) -> None:
        self._connection = connection
        self._watch = watch
        self._unwatch = unwatch
        self._memory = GuestMemory()
        self.queues = [Queue(self._memory) for _ in range(queues)]

    def receive(self) -> bool:
        """Handle one message, and return False at the end of the connection. Raises VhostError for invalid messages."""
        head, fds, _, _ = socket.recv_fds(self._connection, _HEADER.size, _FDS_MAX)
        if not head:
            return False
        try:
            self._handle(head, fds)
        except struct.error as error:
            raise VhostError(f"a message that is too short: {error}") from error
        finally:
            for fd in fds:  # handlers remove the descriptors that they keep
                os.close(fd)
        return True

    def _handle(self, head: bytes, fds: list[int]) -> None:
        if len(head) < _HEADER.size:
            head += self._exactly(_HEADER.size - len(head))
        number, flags, size = _HEADER.unpack(head)
        if size > _PAYLOAD_MAX:
            raise VhostError(f"a message of {size} bytes")
        payload = self._exactly(size)
        handler = self._HANDLERS.get(number)
        if handler is None:
            log.debug("vhost-user message %d is not known", number)
            answer = None
        else:
            answer = handler(self, payload, fds)
        if answer is None and flags & _NEED_REPLY:
            answer = _U64.pack(0 if handler is not None else 1)
        if answer is not None:
            self._connection.sendall(_HEADER.pack(number, _VERSION | _REPLY, len(answer)) + answer)

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self._connection.recv(size - len(data))
            if not part:
                raise VhostError("the connection ended in the middle of a message")
            data += part
        return data

    def _queue(self, index: int) -> Queue:
        if index >= len(self.queues):
            raise VhostError(f"queue {index} of {len(self.queues)}")
        return self.queues[index]

    # --- messages ---------------------------------------------------------------------------------------------

    def _get_features(self, _: bytes, __: list[int]) -> bytes:
        return _U64.pack(_FEATURES)

    def _get_protocol_features(self, _: bytes, __: list[int]) -> bytes:
        return _U64.pack(_PROTOCOL_FEATURES)

    def _get_queue_num(self, _: bytes, __: list[int]) -> bytes:
        return _U64.pack(len(self.queues))

    def _accept(self, _: bytes, __: list[int]) -> None:
        """Accept a message that requires no action."""

    def _set_mem_table(self, payload: bytes, fds: list[int]) -> None:
        self._memory.replace(payload, fds)
        for queue in self.queues:
            queue.unmap()

    def _set_vring_num(self, payload: bytes, _: list[int]) -> None:
        index, size = _STATE.unpack_from(payload)
        self._queue(index).resize(size)

    def _set_vring_addr(self, payload: bytes, _: list[int]) -> None:
        index, _flags, descriptors, used, available, _log = _ADDRESSES.unpack_from(payload)
        self._queue(index).set_addresses(descriptors, used, available)

    def _set_vring_base(self, payload: bytes, _: list[int]) -> None:
        index, base = _STATE.unpack_from(payload)
        self._queue(index).set_next(base)

    def _get_vring_base(self, payload: bytes, _: list[int]) -> bytes:
        index, _state = _STATE.unpack_from(payload)
        queue = self._queue(index)
        if queue.kick >= 0:
            self._unwatch(queue.kick)
        return _STATE.pack(index, queue.stop())

    def _set_vring_kick(self, payload: bytes, fds: list[int]) -> None:
        queue, fd = self._queue_and_fd(payload, fds)
        if queue.kick >= 0:
            self._unwatch(queue.kick)
        queue.set_kick(fd)
        if fd >= 0:
            os.set_blocking(fd, False)
            self._watch(fd, queue)

    def _set_vring_call(self, payload: bytes, fds: list[int]) -> None:
        queue, fd = self._queue_and_fd(payload, fds)
        queue.set_call(fd)

    def _set_vring_enable(self, payload: bytes, _: list[int]) -> None:
        index, enabled = _STATE.unpack_from(payload)
        self._queue(index).enabled = bool(enabled)

    def _queue_and_fd(self, payload: bytes, fds: list[int]) -> tuple[Queue, int]:
        (word,) = _U64.unpack_from(payload)
        if word & _NO_FD or not fds:
            return self._queue(word & 0xFF), -1
        return self._queue(word & 0xFF), fds.pop(0)

    _HANDLERS: ClassVar[dict[int, Callable[[Backend, bytes, list[int]], bytes | None]]] = {
        1: _get_features,
        2: _accept,  # SET_FEATURES: no feature that is offered changes the behaviour
        3: _accept,  # SET_OWNER
        4: _accept,  # RESET_OWNER
        5: _set_mem_table,
        8: _set_vring_num,
        9: _set_vring_addr,
        10: _set_vring_base,
        11: _get_vring_base,
        12: _set_vring_kick,
        13: _set_vring_call,
        14: _accept,  # SET_VRING_ERR
        15: _get_protocol_features,
        16: _accept,  # SET_PROTOCOL_FEATURES
        17: _get_queue_num,
        18: _set_vring_enable,
        34: _accept,  # RESET_DEVICE
    }
    """The handlers of messages, by the numbers in vhost-user.rst, "Front-end message types"."""


def _close(fd: int) -> None:
    if fd >= 0:
        os.close(fd)
