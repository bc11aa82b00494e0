"""The SSH keys of a guest, which exist only in memory."""

from __future__ import annotations

from dataclasses import dataclass, field

import asyncssh


@dataclass(frozen=True)
class GuestKeys:
    """Two ed25519 keys: ``host`` is the guest's host key, ``client`` the key for the login."""

    host: asyncssh.SSHKey = field(repr=False)
    client: asyncssh.SSHKey = field(repr=False)

    @classmethod
    def make(cls) -> GuestKeys:
        """Generate new keys."""
        return cls(asyncssh.generate_private_key("ssh-ed25519"), asyncssh.generate_private_key("ssh-ed25519"))

    @property
    def host_private(self) -> str:
        """The private host key in the format of sshd."""
        return self.host.export_private_key().decode()

    @property
    def authorized(self) -> str:
        """The line of authorized_keys for the client key."""
        return self.client.export_public_key().decode().strip()
