"""One FUSE request of the guest: its header and its reply."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import Final

from ccvm_tui.share import fuse
from ccvm_tui.share.fuse import Op
from ccvm_tui.share.vhost import Request, VhostError


class Deferred:
    """The type of the markers DEFERRED and NO_REPLY."""


DEFERRED: Final = Deferred()
"""The marker for a request that has been answered already, or is answered later."""

NO_REPLY: Final = Deferred()
"""The marker for a request that has no reply in the protocol."""

BODY_MAX: Final = 128 * 1024
"""Maximum length in bytes of a request, without the data of a write. A guest can offer its whole memory as one."""

Reply = bytes | Deferred
"""The result of a handler: the body of the reply, or a marker."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request with its decoded header. ``node`` is the number of the node to which the request applies."""

    request: Request
    opcode: int
    unique: int
    node: int
    uid: int
    gid: int
    pid: int

    def answer(self, data: bytes) -> Reply:
        """Send the reply ``data``."""
        self.request.reply(fuse.OUT_HEADER.pack(fuse.OUT_HEADER.size + len(data), 0, self.unique) + data)
        return DEFERRED

    def fail(self, error: int) -> None:
        """Send the error number ``error`` as the reply, if the request has one."""
        if self.opcode in (Op.FORGET, Op.BATCH_FORGET):
            self.request.finish(0)
            return
        self.request.reply(fuse.OUT_HEADER.pack(fuse.OUT_HEADER.size, -(error or errno.EIO), self.unique))


def parse_call(request: Request) -> tuple[Call, bytes]:
    """Return the call, and the first bytes of the request, which contain at least the header and at most ``BODY_MAX``.

    Raises VhostError if the request is shorter than the header.
    """
    first = bytes(request.readable[0][:BODY_MAX]) if request.readable else b""
    if len(first) < fuse.IN_HEADER.size:
        wanted = fuse.IN_HEADER.size + fuse.READ_IN.size
        first = b"".join(bytes(part[:wanted]) for part in request.readable[:2])[:wanted]
        if len(first) < fuse.IN_HEADER.size:
            raise VhostError("a FUSE request without a header")
    _, opcode, unique, node, uid, gid, pid, _, _ = fuse.IN_HEADER.unpack_from(first)
    return Call(request, opcode, unique, node, uid, gid, pid), first


def after(segments: list[memoryview], skipped: int) -> list[memoryview]:
    """Return ``segments`` without their first ``skipped`` bytes."""
    rest = []
    for segment in segments:
        if skipped >= len(segment):
            skipped -= len(segment)
            continue
        rest.append(segment[skipped:] if skipped else segment)
        skipped = 0
    return rest


def bounded(segments: list[memoryview], size: int) -> list[memoryview]:
    """Return the first ``size`` bytes of ``segments``."""
    kept = []
    for segment in segments:
        if size <= 0:
            break
        kept.append(segment[:size])
        size -= len(segment)
    return kept


def write_header(request: Request, header: bytes) -> None:
    """Write ``header`` to the start of the request's writable part."""
    for segment in request.writable:
        part = header[: len(segment)]
        segment[: len(part)] = part
        header = header[len(part) :]
        if not header:
            return
