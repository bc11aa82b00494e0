"""Searches for secrets: in the processes of the host, in files, and in the memory of a guest."""

from __future__ import annotations

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

PIECE, OVERLAP = 32 << 20, 4096
"""Bytes that are searched at a time, and bytes that belong to two pieces."""


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


class GuestMemory:
    """The memory of a guest, which QEMU and the file server share; ``process`` is either of them.

    Only pages that exist are read, so that the search does not create the others.
    """

    def __init__(self, process: psutil.Process) -> None:
        links = Path(f"/proc/{process.pid}/fd").iterdir()
        found = [link for link in links if "memfd:" in os.readlink(link) and link.stat().st_size >= GUEST_MEMORY_MIN]
        assert found, "the guest's memory is in no file"
        self._link = found[0]

    def pieces(self) -> Iterator[bytes]:
        """Yield the content in pieces, which overlap."""
        with self._link.open("rb", buffering=0) as file:
            at, size = 0, os.fstat(file.fileno()).st_size
            while at < size:
                try:
                    at = start = os.lseek(file.fileno(), at, os.SEEK_DATA)
                except OSError:  # there is nothing behind the last hole
                    return
                end = os.lseek(file.fileno(), at, os.SEEK_HOLE)
                while at < end:
                    before = min(OVERLAP, at - start)
                    yield os.pread(file.fileno(), min(PIECE, end - at) + before, at - before)
                    at += PIECE
                at = end

    def count(self, *needles: bytes) -> dict[bytes, int]:
        """Return at least how often each of the needles is in the memory."""
        counts = dict.fromkeys(needles, 0)
        for piece in self.pieces():
            for needle in needles:
                counts[needle] += piece.count(needle)
        return counts

    def private_halves(self, *publics: bytes) -> set[bytes]:
        """Return those Ed25519 keys, by their public halves, whose private half is next to it (RFC 8032).

        OpenSSH and libsodium store the 32 bytes of the private half directly before those of the public one.
        """
        return {
            public
            for piece in self.pieces()
            for public in publics
            for found in re.finditer(re.escape(public), piece)
            for start in (found.start() - 32, found.end(), found.start() - 36)
            if _is_private_half(piece[max(0, start) : max(0, start) + 32], public)
        }


def _is_private_half(data: bytes, public: bytes) -> bool:
    if len(data) != 32:
        return False
    derived = Ed25519PrivateKey.from_private_bytes(data).public_key()
    return derived.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw) == public
