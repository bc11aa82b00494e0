"""The way that needs none of our terminal code: the host's own ssh, and an sshd of the test's in the guest.

Nothing listens anywhere. ``ccvm-tui exec`` runs ``sshd -i`` as the guest's user and carries its bytes, which are
the same for every program: what a program shows is between ssh and the terminal.
"""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.guest.conftest import RealGuest

_PLACE = "/tmp/fidelity"

_CONFIGURATION = f"""
HostKey {_PLACE}/host
AuthorizedKeysFile {_PLACE}/client.pub
StrictModes no
UsePAM no
PidFile none
LogLevel ERROR
"""

_SET_UP = f"""
umask 077
rm -rf {_PLACE}
mkdir {_PLACE}
cd {_PLACE}
for name in host client; do ssh-keygen -q -t ed25519 -N '' -f $name; done
cat > config
cat client
"""


@dataclass(frozen=True)
class PlainSsh:
    """``command`` is an argv for a terminal, which runs a program on a terminal of the guest."""

    guest: str
    user: str
    key: Path
    known_hosts: Path

    @classmethod
    def to(cls, guest: RealGuest, directory: Path) -> PlainSsh:
        """New keys in the guest, and the client's side of them in ``directory``."""
        made = guest.run("sh", "-ec", _SET_UP, data=_CONFIGURATION.encode())
        assert made.returncode == 0, made.stderr.decode()
        key, known_hosts = directory / "client", directory / "known_hosts"
        key.write_bytes(made.stdout)
        key.chmod(0o600)
        known_hosts.write_text(f"guest {guest.sh(f'cat {_PLACE}/host.pub')}")
        return cls(guest.name, guest.sh("id -un").strip(), key, known_hosts)

    def command(self, *argv: str) -> tuple[str, ...]:
        server = (sys.executable, "-P", "-m", "ccvm_tui", "exec", self.guest, "--", "/usr/sbin/sshd", "-i", "-f")
        options = {
            "ProxyCommand": shlex.join((*server, f"{_PLACE}/config")).replace("%", "%%"),
            "IdentityFile": str(self.key),
            "IdentitiesOnly": "yes",
            "UserKnownHostsFile": str(self.known_hosts),
            "GlobalKnownHostsFile": "none",
            "StrictHostKeyChecking": "yes",
            "EscapeChar": "none",
            "LogLevel": "ERROR",
        }
        words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        return ("ssh", "-tt", "-F", "none", *words, f"{self.user}@guest", shlex.join(argv))
