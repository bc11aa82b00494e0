"""The SSH server on the port ``ccvm.ssh``.

It serves one connection at a time, with keys that the host generated for this guest only.
"""

from __future__ import annotations

import os

from .files import make_directories, write

_DIRECTORY = "/run/ccvm/ssh"
_HOST_KEY = f"{_DIRECTORY}/host_key"
_AUTHORIZED = f"{_DIRECTORY}/authorized_keys"
_CONFIG = f"{_DIRECTORY}/config"
_ENDED = f"{_DIRECTORY}/ended"
_SSHD = "/usr/sbin/sshd"
_DESCRIPTORS = 64  # more than an agent ever has open
_SIGKILL = 9
_CHUNK = 1 << 16

# Only options that differ from OpenSSH's defaults. Only the keeper can connect to the port.
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
StreamLocalBindUnlink yes
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
    """Write sshd's keys and configuration into memory, owned by root."""
    make_directories(_DIRECTORY)
    write(_HOST_KEY, host_key.rstrip("\n") + "\n", 0o600)
    write(_AUTHORIZED, authorized_key.rstrip("\n") + "\n", 0o644)
    root_login = "prohibit-password" if uid == 0 else "no"
    write(_CONFIG, f"{_OPTIONS}AllowUsers {user}\nPermitRootLogin {root_login}\n", 0o600)


def open_status() -> int:
    """Return a descriptor that reports the status of the SSH port.

    "e" means that a server has exited, "f" that the host has hung up too and the port is free for a new connection.
    """
    if not os.path.exists(_ENDED):
        os.mkfifo(_ENDED, 0o600)
    return os.open(_ENDED, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)


def serve(port: int) -> None:
    """Fork a process that serves the port indefinitely and outlives this one."""
    if os.fork():
        os.close(port)
        return
    try:
        # In particular the control port: it can be opened only once, and a restarted agent must be able to open it.
        os.closerange(3, port)
        os.closerange(port + 1, _DESCRIPTORS)
        os.setsid()
        make_directories("/run/sshd")
        status = open_status()
        while True:
            # Each server starts before the host connects, so that it can answer immediately.
            _serve_one(port)
            os.write(status, b"e")
            _discard(port)
            os.write(status, b"f")
    finally:
        os._exit(1)


def _discard(port: int) -> None:
    """Discard input until the host hangs up: data for the previous server would confuse the next one."""
    os.set_blocking(port, True)  # the server made the shared open file non-blocking
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
        os.killpg(pid, _SIGKILL)  # a killed server leaves its child process running, which has the port open
    except ProcessLookupError:
        pass
