"""The SSH server. It speaks over the port `ccvm.ssh`, one connection after the other, with keys that the host made
for this guest alone."""

from __future__ import annotations

import os

from .files import make_directories, write

_DIRECTORY = "/run/ccvm/ssh"
_HOST_KEY = f"{_DIRECTORY}/host_key"
_AUTHORIZED = f"{_DIRECTORY}/authorized_keys"
_CONFIG = f"{_DIRECTORY}/config"
_ENDED = f"{_DIRECTORY}/ended"
_SSHD = "/usr/sbin/sshd"
_DESCRIPTORS = 64  # far more than an agent has open
_SIGKILL = 9
_CHUNK = 1 << 16

# Only what differs from OpenSSH's defaults. The port is reached by nobody but the keeper.
_OPTIONS = f"""\
HostKey {_HOST_KEY}
AuthorizedKeysFile {_AUTHORIZED}
AuthenticationMethods publickey
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
LoginGraceTime 0
ClientAliveInterval 0
TCPKeepAlive no
Ciphers aes128-gcm@openssh.com,chacha20-poly1305@openssh.com
KexAlgorithms curve25519-sha256
Compression no
AllowTcpForwarding yes
AllowStreamLocalForwarding yes
GatewayPorts no
X11Forwarding no
AllowAgentForwarding no
PermitTunnel no
PermitUserRC no
PermitUserEnvironment no
AcceptEnv *
PrintMotd no
PrintLastLog no
MaxSessions 1000
PidFile none
LogLevel ERROR
Subsystem sftp internal-sftp
"""


def write_settings(host_key: str, authorized_key: str, user: str, uid: int) -> None:
    """Everything sshd reads, in memory and root's."""
    make_directories(_DIRECTORY)
    write(_HOST_KEY, host_key.rstrip("\n") + "\n", 0o600)
    write(_AUTHORIZED, authorized_key.rstrip("\n") + "\n", 0o644)
    root_login = "prohibit-password" if uid == 0 else "no"
    write(_CONFIG, f"{_OPTIONS}AllowUsers {user}\nPermitRootLogin {root_login}\n", 0o600)


def open_ended() -> int:
    """A descriptor on which is told: "e" when a server has ended, and "f" when the host has hung up as well, and the
    port is free for its next connection."""
    if not os.path.exists(_ENDED):
        os.mkfifo(_ENDED, 0o600)
    return os.open(_ENDED, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)


def serve(port: int) -> None:
    """Start the process that serves the port for ever, and that outlives this one."""
    if os.fork():
        os.close(port)
        return
    try:
        # The control port above all: it can be opened once only, and its agent may have to start again.
        os.closerange(3, port)
        os.closerange(port + 1, _DESCRIPTORS)
        os.setsid()
        make_directories("/run/sshd")
        ended = open_ended()
        while True:
            # Each server starts before anybody calls, and waits where it would greet: by then it is ready to answer.
            _serve_one(port)
            os.write(ended, b"e")
            _discard(port)
            os.write(ended, b"f")
    finally:
        os._exit(1)


def _discard(port: int) -> None:
    """Until the host hangs up. What it sent to the server that ended would be nonsense to the next one."""
    os.set_blocking(port, True)  # the server made it otherwise, and shares the open file with us
    while os.read(port, _CHUNK):
        pass


def _serve_one(port: int) -> None:
    log = os.open("/run/ccvm/sshd.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    pid = os.posix_spawn(
        _SSHD,
        [_SSHD, "-i", "-e", "-f", _CONFIG],
        {"PATH": "/usr/bin:/usr/sbin"},
        file_actions=[
            (os.POSIX_SPAWN_DUP2, port, 0),
            (os.POSIX_SPAWN_DUP2, port, 1),
            (os.POSIX_SPAWN_DUP2, log, 2),
        ],
        setpgroup=0,
    )
    os.close(log)
    os.waitpid(pid, 0)
    try:
        os.killpg(pid, _SIGKILL)  # a server that was killed leaves its other half behind, which still has the port
    except ProcessLookupError:
        pass
