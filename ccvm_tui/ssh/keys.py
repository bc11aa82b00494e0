"""Keys for one guest's life, in memory only."""

from __future__ import annotations

from dataclasses import dataclass, field

import asyncssh


@dataclass(frozen=True)
class GuestKeys:
    """``host`` is what the guest proves itself with, ``client`` what we log in with; both ed25519."""

    host: asyncssh.SSHKey = field(repr=False)
    client: asyncssh.SSHKey = field(repr=False)

    @classmethod
    def make(cls) -> GuestKeys:
        return cls(asyncssh.generate_private_key("ssh-ed25519"), asyncssh.generate_private_key("ssh-ed25519"))

    @property
    def host_private(self) -> str:
        """The host key as the guest's sshd reads it."""
        return self.host.export_private_key().decode()

    @property
    def authorized(self) -> str:
        """The line of authorized_keys that lets us in."""
        return self.client.export_public_key().decode().strip()
