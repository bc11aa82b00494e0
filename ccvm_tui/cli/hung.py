"""The last resort against a keeper that holds its lock and does nothing."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import time

from ccvm_tui import claim
from ccvm_tui.errors import KeeperLost
from ccvm_tui.paths import GuestPaths

GONE_WITHIN = 5.0


def kill_keeper(name: str) -> None:
    """SIGKILL for the keeper of ``name``; its QEMU dies with it. Raises KeeperLost when the keeper cannot be told.

    The kernel says who listens on the socket (unix(7), SO_PEERCRED); process numbers in files may be stale.
    """
    paths = GuestPaths(name)
    pid = _listener(str(paths.keeper_socket))
    if not claim.alive(paths.lock):
        claim.remove_if_dead(paths.dir)
        return
    if pid <= 0:
        raise KeeperLost(f"the keeper of {name} hangs and has no socket", f"`fuser {paths.lock}` finds its process")
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + GONE_WITHIN
    while claim.alive(paths.lock):
        if time.monotonic() > deadline:
            raise KeeperLost(f"process {pid}, the keeper of {name}, cannot be killed", "it may hang in the kernel")
        time.sleep(0.02)
    claim.remove_if_dead(paths.dir)


def _listener(path: str) -> int:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(2.0)
        try:
            sock.connect(path)
        except OSError:
            return -1
        pid, _, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
        return int(pid)
