"""The files with which SSH clients of the host, such as editors, log in to a guest.

They exist only on request, and only in the guest's directory in the runtime directory, which is removed with the guest.
The keys are not those of the keeper. A client reaches the guest's SSH server through the keeper: its ProxyCommand is
``ccvm-tui exec``, so no port is opened.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Awaitable, Callable

from ccvm_tui.image.guest.agent.editor import COMMAND
from ccvm_tui.paths import GuestPaths
from ccvm_tui.ssh.keys import GuestKeys

CONFIG, KEY, KNOWN_HOSTS = "config", "key", "known_hosts"
"""The names of the files."""

USER = "dev"
_INHERITED = ("XDG_RUNTIME_DIR", "PYTHONPATH")


async def prepare(name: str, paths: GuestPaths, install: Callable[[str, str], Awaitable[None]]) -> str:
    """Write the files for the guest ``name`` and return their directory.

    If they exist, they are kept, because connected clients use them. Otherwise ``install`` is called with a new private
    host key and a line of authorized_keys, which the guest's SSH server must use from then on.
    """
    directory = paths.ssh_dir
    if not (directory / CONFIG).exists():
        keys = GuestKeys.make()
        await install(keys.host_private, keys.authorized)
        directory.mkdir(mode=0o700, exist_ok=True)
        public = keys.host.export_public_key().decode().strip()
        _write(directory / KEY, keys.client.export_private_key().decode())
        _write(directory / KNOWN_HOSTS, f"{name} {public}\n")
        _write(directory / CONFIG, config(name, str(directory)))
    return str(directory)


def config(name: str, directory: str) -> str:
    """Return the content of ``config`` (ssh_config(5)) for the guest ``name``."""
    inherited = [f"{variable}={os.environ[variable]}" for variable in _INHERITED if variable in os.environ]
    proxy = ["env", *inherited, sys.executable, "-P", "-m", "ccvm_tui", "exec", name, "--", *COMMAND]
    command = " ".join(map(shlex.quote, proxy)).replace("%", "%%")
    return f"""\
# ccvm-tui ssh-config {name}: for this guest only, removed when it stops
Host {name}
    HostName {name}
    User {USER}
    ProxyCommand {command}
    IdentityFile "{_quoted(directory)}/{KEY}"
    IdentitiesOnly yes
    IdentityAgent none
    UserKnownHostsFile "{_quoted(directory)}/{KNOWN_HOSTS}"
    GlobalKnownHostsFile none
    HostKeyAlias {name}
    HostKeyAlgorithms ssh-ed25519
    StrictHostKeyChecking yes
    UpdateHostKeys no
    CheckHostIP no
    PasswordAuthentication no
    ForwardAgent no
    ForwardX11 no
"""


def _quoted(path: str) -> str:
    return path.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")


def _write(path: os.PathLike[str], text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with open(descriptor, "w") as file:
        file.write(text)
