"""A second SSH server, for SSH clients of the host such as editors. It runs as the user.

The host starts it with the program server, one process per connection, and connects the client to its standard streams.
"""

from __future__ import annotations

import os

from . import programs
from .files import make_directories, write

_DIRECTORY = "/run/ccvm/editor"
_CONFIG = f"{_DIRECTORY}/config"
_HOST_KEY = f"{_DIRECTORY}/host_key"
_AUTHORIZED = f"{_DIRECTORY}/authorized_keys"

COMMAND = ["/usr/sbin/sshd", "-i", "-e", "-f", _CONFIG]
"""The command line of the server."""

# Only options that differ from OpenSSH's defaults. Without root, the server can only log in its own user.
_OPTIONS = f"""\
HostKey {_HOST_KEY}
AuthorizedKeysFile {_AUTHORIZED}
AuthenticationMethods publickey
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
AllowTcpForwarding local
AllowStreamLocalForwarding local
GatewayPorts no
X11Forwarding no
AllowAgentForwarding no
PermitTunnel no
PermitUserRC no
PrintMotd no
PrintLastLog no
MaxSessions 100
PidFile none
LogLevel FATAL
AcceptEnv LANG LC_* COLORTERM
Subsystem sftp internal-sftp
"""


def install(host_key: str, authorized_key: str) -> None:
    """Write the server's keys and configuration, which the user owns. The keys of an earlier call become invalid."""
    context = programs.load_context()
    owner = context.uid, context.gid
    make_directories(_DIRECTORY)
    os.chown(_DIRECTORY, *owner)
    os.chmod(_DIRECTORY, 0o700)
    write(_HOST_KEY, host_key.rstrip("\n") + "\n", 0o600, owner)
    write(_AUTHORIZED, authorized_key.rstrip("\n") + "\n", 0o600, owner)
    write(_CONFIG, f"{_OPTIONS}AllowUsers {context.name}\n{set_env(context.env)}", 0o600, owner)


def set_env(env: dict[bytes, bytes]) -> str:
    """Return the option that sets ``env`` for the programs of the server. Values that it cannot express are omitted."""
    pairs = []
    for name, value in env.items():
        if name not in (b"HOME", b"USER", b"LOGNAME", b"SHELL") and b"\n" not in value:
            escaped = os.fsdecode(name + b"=" + value).replace("\\", "\\\\").replace('"', '\\"')
            pairs.append(f'"{escaped}"')
    return f"SetEnv {' '.join(pairs)}\n" if pairs else ""
