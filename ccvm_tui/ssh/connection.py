"""The SSH connection to a guest.

It runs over QEMU's unix socket for a virtio-serial port, at whose other end the guest serves ``sshd -i``.
So there is no TCP port that others could knock on, and the host key is pinned by value: a unix peer has no
address that known_hosts could match.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import asyncssh

from ccvm_tui.errors import BootError
from ccvm_tui.ssh.keys import GuestKeys

log = logging.getLogger(__name__)

KEX = ("curve25519-sha256",)
CIPHERS = ("aes128-gcm@openssh.com", "chacha20-poly1305@openssh.com")
MACS = ("hmac-sha2-256-etm@openssh.com",)
"""The cheapest for an emulated guest among what both ends trust; GCM and Poly1305 need no MAC of their own."""

NUDGE_EVERY = 2.0
"""Seconds of silence after which the guest is sent something that it answers. On a busy host an emulated guest now
and then sleeps over a message (a new program, a key) until the next one comes, and that may never be sent."""

CONNECT_WITHIN = 60.0
"""Seconds for the whole handshake; under emulation on a loaded machine it takes a few."""


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
    """Log in over the socket at ``path``. ``lost`` is called once when the connection has ended.

    ``opened`` is given the socket before anything is said on it: shutting that down ends the connection at any
    time, also one that is still being made. The guest's end of the port cannot be seen to go.

    Raises BootError when the guest does not let us in within CONNECT_WITHIN.
    """
    sock = socket.socket(socket.AF_UNIX)
    sock.setblocking(False)
    opened(sock)
    try:
        async with asyncio.timeout(CONNECT_WITHIN):
            await asyncio.get_running_loop().sock_connect(sock, str(path))
            return await asyncssh.connect(
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
                keepalive_interval=NUDGE_EVERY,
                keepalive_count_max=sys.maxsize,  # a paused guest is silent and not dead
                send_env=None,
            )
    except TimeoutError as error:
        sock.close()
        raise BootError(f"the guest's SSH server did not answer within {CONNECT_WITHIN:.0f} s") from error
    except (OSError, asyncssh.Error) as error:
        sock.close()
        raise BootError(f"cannot log in to the guest: {error}") from error
    except BaseException:
        sock.close()
        raise
