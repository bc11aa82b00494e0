"""One FUSE request of the guest: its header, and its answer."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import Final

from ccvm_tui.share import fuse
from ccvm_tui.share.fuse import Op
from ccvm_tui.share.vhost import Request, VhostError


class Deferred:
    """The sign that a request is answered later, or has been answered."""


DEFERRED: Final = Deferred()
NO_REPLY: Final = Deferred()
"""The sign that a request has no answer, by the protocol."""

Reply = bytes | Deferred


@dataclass(frozen=True, slots=True)
class Call:
    """A request in its chain of descriptors. ``node`` is the number that the request is about."""

    request: Request
    opcode: int
    unique: int
    node: int
    uid: int
    gid: int
    pid: int

    def answer(self, data: bytes) -> Reply:
        """Answer with ``data``."""
        self.request.reply(fuse.OUT_HEADER.pack(fuse.OUT_HEADER.size + len(data), 0, self.unique) + data)
        return DEFERRED

    def fail(self, error: int) -> None:
        """Answer with the error number ``error``."""
        if self.opcode in (Op.FORGET, Op.BATCH_FORGET):
            self.request.finish(0)
            return
        self.request.reply(fuse.OUT_HEADER.pack(fuse.OUT_HEADER.size, -(error or errno.EIO), self.unique))


def call_of(request: Request) -> tuple[Call, bytes]:
    """The call and the beginning of its bytes, which has the whole header at least. Raises VhostError."""
    first = bytes(request.readable[0]) if request.readable else b""
    if len(first) < fuse.IN_HEADER.size:
        first = b"".join(bytes(part) for part in request.readable[:2])[: fuse.IN_HEADER.size + fuse.READ_IN.size]
        if len(first) < fuse.IN_HEADER.size:
            raise VhostError("a FUSE request without a header")
    _, opcode, unique, node, uid, gid, pid, _, _ = fuse.IN_HEADER.unpack_from(first)
    return Call(request, opcode, unique, node, uid, gid, pid), first


def after(segments: list[memoryview], skipped: int) -> list[memoryview]:
    """``segments`` without their first ``skipped`` bytes."""
    rest = []
    for segment in segments:
        if skipped >= len(segment):
            skipped -= len(segment)
            continue
        rest.append(segment[skipped:] if skipped else segment)
        skipped = 0
    return rest


def bounded(segments: list[memoryview], size: int) -> list[memoryview]:
    """The first ``size`` bytes of ``segments``."""
    kept = []
    for segment in segments:
        if size <= 0:
            break
        kept.append(segment[:size])
        size -= len(segment)
    return kept


def write_header(request: Request, header: bytes) -> None:
    """Write ``header`` to the beginning of the writable part."""
    for segment in request.writable:
        part = header[: len(segment)]
        segment[: len(part)] = part
        header = header[len(part) :]
        if not header:
            return
