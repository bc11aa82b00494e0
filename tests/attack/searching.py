"""Searches for secrets: in the processes of the host, in files, and in the memory of a guest."""

from __future__ import annotations

import contextlib
import mmap
import os
import re
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

GUEST_MEMORY_MIN = 256 << 20
"""The file of a guest's memory is at least that long, in bytes."""


class Watch(threading.Thread):
    """A thread that searches all processes for the key continuously, since launchers run for milliseconds only."""

    def __init__(self, key: str) -> None:
        super().__init__()
        self._key = key
        self._stopped = threading.Event()
        self.found: set[str] = set()
        self.rounds = 0

    def run(self) -> None:
        while not self._stopped.is_set():
            self.found |= set(self._search())
            self.rounds += 1

    def _search(self) -> Iterator[str]:
        for process in psutil.process_iter():
            try:
                argv = process.cmdline()
                if any(self._key in argument for argument in argv):
                    yield f"in the arguments of {argv}"
                if self._key in process.environ().values() and argv[3:5] != ["ccvm_tui", "run"]:
                    yield f"in the environment of {argv}"
            except psutil.Error:
                continue

    def __enter__(self) -> Watch:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self.join()


def files_with(roots: Sequence[Path], *needles: bytes) -> list[Path]:
    """Return the regular files that contain any of ``needles``."""
    found = []
    for root in roots:
        for file in root.rglob("*"):
            if file.is_file():
                data = file.read_bytes()
                if any(needle in data for needle in needles):
                    found.append(file)
    return found


@contextlib.contextmanager
def guest_memory(process: psutil.Process) -> Iterator[mmap.mmap]:
    """Yield the memory of a guest, which QEMU and the file server share; ``process`` is either of them."""
    for link in Path(f"/proc/{process.pid}/fd").iterdir():
        if "memfd:" in os.readlink(link) and link.stat().st_size >= GUEST_MEMORY_MIN:
            with link.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as memory:
                yield memory
            return
    raise AssertionError("the guest's memory is in no file")


def occurrences(memory: mmap.mmap, needle: bytes) -> int:
    """Return how often ``needle`` is in the memory."""
    return sum(1 for _ in re.finditer(re.escape(needle), memory))


def has_private_key(memory: mmap.mmap, public: bytes) -> bool:
    """Return whether the memory contains the private half of an Ed25519 key (RFC 8032), near its public half.

    OpenSSH and libsodium store the 32 bytes of the private half directly before those of the public one.
    """
    for found in re.finditer(re.escape(public), memory):
        for start in (found.start() - 32, found.end(), found.start() - 36):
            seed = memory[max(0, start) : max(0, start) + 32]
            if len(seed) == 32:
                derived = Ed25519PrivateKey.from_private_bytes(seed).public_key()
                raw = serialization.Encoding.Raw, serialization.PublicFormat.Raw
                if derived.public_bytes(*raw) == public:
                    return True
    return False
