"""The SSH connection to a guest.

The connection uses QEMU's unix socket for a virtio-serial port, on which the guest runs ``sshd -i``. Therefore no TCP
port is open. The host key is pinned by value, because a unix socket has no address that known_hosts could match.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import asyncssh
from asyncssh.packet import PacketDecodeError

from ccvm_tui.errors import BootError
from ccvm_tui.ssh.keys import GuestKeys

log = logging.getLogger(__name__)

KEX = ("curve25519-sha256",)
CIPHERS = ("aes128-gcm@openssh.com", "chacha20-poly1305@openssh.com")
MACS = ("hmac-sha2-256-etm@openssh.com",)
"""The fastest secure algorithms for an emulated guest. GCM and Poly1305 do not need a separate MAC."""

KEEPALIVE_EVERY = 2.0
"""Seconds without data after which a keepalive is sent.

On a busy host, an emulated guest sometimes does not process a message (a new program, a key) before the next message
arrives. The keepalive is that next message.
"""

CONNECT_WITHIN = 60.0
"""Seconds for the whole handshake, which takes a few seconds in an emulated guest on a busy host."""


class _Client(asyncssh.SSHClient):
    def __init__(self, lost: Callable[[Exception | None], None]) -> None:
        self._lost = lost

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost(exc)


async def connect(
    path: Path,
    user: str,
    keys: GuestKeys,
    lost: Callable[[Exception | None], None],
    opened: Callable[[socket.socket], None] = lambda _: None,
) -> asyncssh.SSHClientConnection:
    """Log in to the guest over the unix socket at ``path``.

    ``lost`` is called once, after the connection has ended. ``opened`` is called with the socket before it is used.
    Shutting down that socket ends the connection at any time, even during the login; it is needed because the guest's
    end of the port is never closed.

    Raises BootError if the login fails or takes longer than ``CONNECT_WITHIN``.
    """
    sock = socket.socket(socket.AF_UNIX)
    sock.setblocking(False)
    opened(sock)
    with contextlib.ExitStack() as on_failure:
        on_failure.callback(sock.close)
        try:
            async with asyncio.timeout(CONNECT_WITHIN):
                await asyncio.get_running_loop().sock_connect(sock, str(path))
                connected = await asyncssh.connect(
                    sock=sock,
                    username=user,
                    client_factory=lambda: _Client(lost),
                    client_keys=[keys.client],
                    known_hosts=([keys.host.convert_to_public()], [], []),
                    server_host_key_algs=["ssh-ed25519"],
                    kex_algs=KEX,
                    encryption_algs=CIPHERS,
                    mac_algs=MACS,
                    compression_algs=["none"],
                    preferred_auth="publickey",
                    config=None,
                    agent_path=None,
                    gss_host=None,
                    login_timeout=CONNECT_WITHIN,
                    keepalive_interval=KEEPALIVE_EVERY,
                    keepalive_count_max=sys.maxsize,  # a paused guest does not answer
                    send_env=None,
                )
        except TimeoutError as error:
            raise BootError(f"the guest's SSH server did not answer within {CONNECT_WITHIN:.0f} s") from error
        except (OSError, asyncssh.Error, PacketDecodeError) as error:  # the last one is not an asyncssh.Error
            raise BootError(f"cannot log in to the guest: {error}") from error
        on_failure.pop_all()
    return connected
