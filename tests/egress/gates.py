"""A guest's gate on this machine, connected to the keeper's end of the tunnel."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from ccvm_tui.egress.service import EgressService
from ccvm_tui.image.guest.agent import gate
from ccvm_tui.outbound import Egress

GUEST = "proj-1234"
IP_PKTINFO = 8


@dataclass(frozen=True)
class Way:
    """The way out of a guest. ``proxy`` is the address of the gate's proxy, ``dns`` that of its name server.

    A connection to ``transparent`` counts as one to that very address, since the gate learns the destination from the
    local address of a redirected connection.
    """

    service: EgressService
    proxy: tuple[str, int]
    transparent: tuple[str, int]
    dns: tuple[str, int]
    log: Path


@contextlib.asynccontextmanager
async def way_out(tmp_path: Path, spec: Egress, **options: object) -> AsyncIterator[Way]:
    """Start the real gate and the real service, connected by a socket pair instead of a virtio-serial port."""
    service = EgressService(GUEST, spec, tmp_path / "egress.jsonl", **options)  # type: ignore[arg-type]
    keeper_end, guest_end = socket.socketpair()
    keeper_end.setblocking(False)
    transparent, proxy = gate.listen("127.0.0.1", 0), gate.listen("127.0.0.1", 0)
    dns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    dns.setblocking(False)
    dns.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
    dns.bind(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(ConnectionError):  # at the end, which a virtio-serial port does not have
            gate.Gate(guest_end.fileno()).serve(transparent, proxy, dns)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    await service.attach(keeper_end)
    try:
        yield Way(service, proxy.getsockname(), transparent.getsockname(), dns.getsockname(), tmp_path / "egress.jsonl")
    finally:
        await service.close()
        await asyncio.to_thread(thread.join, 10)
        for sock in (guest_end, transparent, proxy, dns):
            sock.close()
        assert not thread.is_alive()


def local(*ports: int) -> tuple[str, ...]:
    """Return rules that allow this machine's loopback address at ``ports``, which no policy allows by itself."""
    return tuple(f"127.0.0.1:{port}" for port in ports)
