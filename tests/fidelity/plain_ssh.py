"""A connection to a guest without our terminal code: the host's ssh, and an sshd that the test starts in the guest.

No port is opened: ``ccvm-tui exec`` runs ``sshd -i`` as the guest's user and passes its bytes through unchanged. The
output of programs is handled only by ssh and the terminal.
"""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.guest.conftest import RealGuest

_DIRECTORY = "/tmp/fidelity"

_CONFIGURATION = f"""
HostKey {_DIRECTORY}/host
AuthorizedKeysFile {_DIRECTORY}/client.pub
StrictModes no
UsePAM no
PidFile none
LogLevel ERROR
"""

_SET_UP = f"""
umask 077
rm -rf {_DIRECTORY}
mkdir {_DIRECTORY}
cd {_DIRECTORY}
for name in host client; do ssh-keygen -q -t ed25519 -N '' -f $name; done
cat > config
cat client
"""


@dataclass(frozen=True)
class PlainSsh:
    """A guest with an sshd, and the keys for it. ``command`` returns an argv that runs a program on a pty of the guest."""

    guest: str
    user: str
    key: Path
    known_hosts: Path

    @classmethod
    def to(cls, guest: RealGuest, directory: Path) -> PlainSsh:
        """Create keys in the guest, and write the client's keys to ``directory``."""
        result = guest.run("sh", "-ec", _SET_UP, data=_CONFIGURATION.encode())
        assert result.returncode == 0, result.stderr.decode()
        key, known_hosts = directory / "client", directory / "known_hosts"
        key.write_bytes(result.stdout)
        key.chmod(0o600)
        known_hosts.write_text(f"guest {guest.sh(f'cat {_DIRECTORY}/host.pub')}")
        return cls(guest.name, guest.sh("id -un").strip(), key, known_hosts)

    def command(self, *argv: str) -> tuple[str, ...]:
        server = (sys.executable, "-P", "-m", "ccvm_tui", "exec", self.guest, "--", "/usr/sbin/sshd", "-i", "-f")
        options = {
            "ProxyCommand": shlex.join((*server, f"{_DIRECTORY}/config")).replace("%", "%%"),
            "IdentityFile": str(self.key),
            "IdentitiesOnly": "yes",
            "UserKnownHostsFile": str(self.known_hosts),
            "GlobalKnownHostsFile": "none",
            "StrictHostKeyChecking": "yes",
            "EscapeChar": "none",
            "LogLevel": "ERROR",
        }
        arguments = [argument for name, value in options.items() for argument in ("-o", f"{name}={value}")]
        return ("ssh", "-tt", "-F", "none", *arguments, f"{self.user}@guest", shlex.join(argv))
