"""Random, verified operations on files in the working directory: ``python3 random_files.py SEED SECONDS ROLE…``.

The program runs on the host and in the guest. Each role is a process. ``own:N`` makes any operation on a file of its
own. ``locked:FILE`` keeps a file open that other processes change too, and changes it in place under flock of the file.
``replaced:FILE`` reopens such a file each time, and changes it in place or renames another file over it, under flock
of ``FILE.lock``. ``readlocked:`` and ``readreplaced:`` only read. A file that several processes use starts with a digest
of its content. The exit status is 1, with a traceback, if any content differs from what was written.
"""

from __future__ import annotations

import fcntl
import hashlib
import mmap
import os
import random
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LARGEST = 300_000
PAGE = 4096
DIGEST = 32


class Own:
    """One file and its expected content."""

    def __init__(self, name: str, chance: random.Random) -> None:
        self.name, self.chance = name, chance
        self.content = bytearray()
        self.fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
        self.appending = False

    def step(self) -> None:
        self.chance.choice(
            (
                self.write, self.write, self.read, self.read, self.append, self.truncate, self.map_read,
                self.map_write, self.allocate, self.punch, self.reopen, self.replace, self.move, self.unlink, self.sync,
            )
        )()  # fmt: skip

    def _range(self) -> tuple[int, int]:
        offset = self.chance.randrange(LARGEST)
        return offset, min(LARGEST - offset, self.chance.choice((1, 100, PAGE, 30_000, 100_000)))

    def _put(self, offset: int, data: bytes) -> None:
        if data:
            self.content.extend(bytes(max(0, offset - len(self.content))))
            self.content[offset : offset + len(data)] = data

    def write(self) -> None:
        offset, size = self._range()
        data = self.chance.randbytes(size)
        if self.appending:
            os.write(self.fd, data)
            self._put(len(self.content), data)
            if len(self.content) > 2 * LARGEST:
                self.truncate()
        else:
            os.pwrite(self.fd, data, offset)
            self._put(offset, data)

    def append(self) -> None:
        data = self.chance.randbytes(self.chance.randrange(1, 5000))
        fd = os.open(self.name, os.O_WRONLY | os.O_APPEND)
        os.write(fd, data)
        os.close(fd)
        self._put(len(self.content), data)

    def read(self) -> None:
        offset, size = self._range()
        expect(self, "read", os.pread(self.fd, size, offset), bytes(self.content[offset : offset + size]))
        expect(self, "size", os.fstat(self.fd).st_size, len(self.content))

    def truncate(self) -> None:
        size = self.chance.randrange(LARGEST)
        os.ftruncate(self.fd, size) if self.chance.random() < 0.5 else os.truncate(self.name, size)
        del self.content[size:]
        self.content.extend(bytes(size - len(self.content)))

    def map_read(self) -> None:
        if self.content:
            with mmap.mmap(self.fd, 0, prot=mmap.PROT_READ) as mapped:
                expect(self, "map", mapped[:], bytes(self.content))

    def map_write(self) -> None:
        if not self.content:
            return
        with mmap.mmap(self.fd, 0) as mapped:
            for _ in range(3):
                offset = self.chance.randrange(len(self.content))
                data = self.chance.randbytes(min(self.chance.randrange(1, 9000), len(self.content) - offset))
                mapped[offset : offset + len(data)] = data
                self.content[offset : offset + len(data)] = data
            if self.chance.random() < 0.5:
                mapped.flush()
            if self.chance.random() < 0.3:
                offset, size = self._range()
                expect(self, "mapped read", os.pread(self.fd, size, offset), self.content[offset : offset + size])

    def allocate(self) -> None:
        offset, size = self._range()
        os.posix_fallocate(self.fd, offset, size)
        self.content.extend(bytes(max(0, offset + size - len(self.content))))

    def punch(self) -> None:
        """Write zeros, which is what a hole contains."""
        offset, size = self._range()
        if not self.appending:
            os.pwrite(self.fd, bytes(size), offset)
            self._put(offset, bytes(size))

    def reopen(self) -> None:
        os.close(self.fd)
        self.appending = self.chance.random() < 0.3
        self.fd = os.open(self.name, os.O_RDWR | os.O_APPEND * self.appending)
        expect(self, "all", read_all(self.fd), bytes(self.content))

    def replace(self) -> None:
        data = self.chance.randbytes(self.chance.randrange(LARGEST))
        with open(self.name + ".new", "wb") as file:
            file.write(data)
        os.rename(self.name + ".new", self.name)
        expect(self, "replaced", read_all(self.fd), bytes(self.content))
        self.content = bytearray(data)
        self.reopen()

    def move(self) -> None:
        os.rename(self.name, self.name + ".moved")
        expect(self, "moved", read_all(self.fd), bytes(self.content))
        os.rename(self.name + ".moved", self.name)

    def unlink(self) -> None:
        os.unlink(self.name)
        expect(self, "unlinked", read_all(self.fd), bytes(self.content))
        expect(self, "links", os.fstat(self.fd).st_nlink, 0)
        os.close(self.fd)
        self.__init__(self.name, self.chance)  # type: ignore[misc]

    def sync(self) -> None:
        os.fsync(self.fd)


def expect(own: Own, call: str, got: object, expected: object) -> None:
    if got == expected:
        return
    if isinstance(got, bytes) and isinstance(expected, (bytes, bytearray)):
        at = next((at for at, (a, b) in enumerate(zip(got, expected, strict=False)) if a != b), -1)
        raise AssertionError(
            f"{time.time()} {own.name}: {call}: {len(got)} bytes of {len(expected)}, first difference at {at}"
        )
    raise AssertionError(
        f"{time.time()} ino {os.fstat(own.fd).st_ino} {own.name}: {call}: {got!r} instead of {expected!r}"
    )


def read_all(fd: int) -> bytes:
    parts: list[bytes] = []
    while data := os.pread(fd, 1 << 20, sum(map(len, parts))):
        parts.append(data)
    return b"".join(parts)


# --- files that several processes change --------------------------------------------------------------------------


@contextmanager
def locked(fd: int, kind: int) -> Iterator[None]:
    fcntl.flock(fd, kind)
    try:
        yield
    finally:
        fcntl.flock(fd, fcntl.LOCK_UN)


def verified(fd: int, by_map: bool) -> bytes:
    """Verify the digest, and return the content after it."""
    size = os.fstat(fd).st_size
    if by_map and size:
        with mmap.mmap(fd, size, prot=mmap.PROT_READ) as mapped:
            data = mapped[:]
    else:
        data = read_all(fd)
    if len(data) != size or (data and hashlib.sha256(data[DIGEST:]).digest() != data[:DIGEST]):
        raise AssertionError(f"{len(data)} bytes, fstat says {size}, first {data[:60].hex()} ({by_map=})")
    return data[DIGEST:]


def change(fd: int, body: bytes, chance: random.Random) -> None:
    """Change the file in place at random, and update its digest."""
    new = bytearray(body)
    offset = chance.randrange(LARGEST)
    data = chance.randbytes(chance.choice((1, 100, PAGE, 30_000)))
    kind = chance.choice(("write", "truncate", "map"))
    if kind == "truncate" or not body:
        del new[offset:]
        new.extend(bytes(offset - len(new)))
        os.ftruncate(fd, DIGEST + offset)
    elif kind == "write":
        new.extend(bytes(max(0, offset - len(new))))
        new[offset : offset + len(data)] = data
        os.pwrite(fd, data, DIGEST + offset)
    else:
        offset %= len(new)
        data = data[: len(new) - offset]
        new[offset : offset + len(data)] = data
        with mmap.mmap(fd, DIGEST + len(new)) as mapped:
            mapped[DIGEST + offset : DIGEST + offset + len(data)] = data
            mapped.flush()
    os.pwrite(fd, hashlib.sha256(new).digest(), 0)


def in_place(name: str, chance: random.Random, writes: bool) -> Callable[[], None]:
    fd = os.open(name, os.O_RDWR if writes else os.O_RDONLY)

    def step() -> None:
        changes = writes and chance.random() < 0.6
        with locked(fd, fcntl.LOCK_EX if changes else fcntl.LOCK_SH):
            body = verified(fd, chance.random() < 0.3)
            if changes:
                change(fd, body, chance)

    return step


def anew(name: str, chance: random.Random, writes: bool) -> Callable[[], None]:
    lock = os.open(name + ".lock", os.O_RDWR if writes else os.O_RDONLY)

    def step() -> None:
        changes = writes and chance.random() < 0.6
        with locked(lock, fcntl.LOCK_EX if changes else fcntl.LOCK_SH):
            fd = os.open(name, os.O_RDWR if writes else os.O_RDONLY)
            body = verified(fd, chance.random() < 0.3)
            if changes and chance.random() < 0.5:
                change(fd, body, chance)
            elif changes:
                new = chance.randbytes(chance.randrange(LARGEST))
                with open(f"{name}.{os.getpid()}", "wb") as file:
                    file.write(hashlib.sha256(new).digest() + new)
                os.rename(f"{name}.{os.getpid()}", name)
            os.close(fd)

    return step


def perform(role: str, seed: str, until: float) -> int:
    chance = random.Random(seed + role)
    kind, _, name = role.partition(":")
    steps: dict[str, Callable[[], Callable[[], None]]] = {
        "own": lambda: Own(name, chance).step,
        "locked": lambda: in_place(name, chance, True),
        "readlocked": lambda: in_place(name, chance, False),
        "replaced": lambda: anew(name, chance, True),
        "readreplaced": lambda: anew(name, chance, False),
    }
    step, count = steps[kind](), 0
    while time.monotonic() < until:
        try:
            step()
        except BaseException:
            print(f"{role}: step {count}", file=sys.stderr)
            raise
        count += 1
        time.sleep(chance.choice((0, 0, 0.002)))
    print(f"{role}: {count} steps", flush=True)
    return count


def main(seed: str, seconds: str, *roles: str) -> int:
    until, children = time.monotonic() + float(seconds), []
    for role in roles:
        child = os.fork()
        if not child:
            status = 1
            try:
                perform(role, seed, until)
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(status)
        children.append(child)
    ends = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    for role, end in zip(roles, ends, strict=True):
        if end:
            print(f"{role}: ended with {end}", file=sys.stderr)
    return int(any(ends))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
