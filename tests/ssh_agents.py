"""A real SSH agent with keys whose private parts are in no other place, for tests."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.waiting import wait_until

COMMENT = "a key of the tests"


@dataclass(frozen=True)
class RealAgent:
    """A running ssh-agent: its socket, and a directory with the public keys ``ed25519.pub`` and ``rsa.pub``."""

    socket: str
    directory: Path

    @property
    def keys(self) -> str:
        """The keys that the agent has, as ``ssh-add -L`` prints them."""
        return run("ssh-add", "-L", agent=self.socket)

    def fingerprint(self, kind: str = "ed25519") -> str:
        """Return the fingerprint of a key as ssh-keygen prints it."""
        return run("ssh-keygen", "-l", "-f", str(self.directory / f"{kind}.pub")).split()[1]


def environment(agent: str = "") -> dict[str, str]:
    """Return the environment of a program that uses the agent with the socket ``agent``, or none."""
    return {"PATH": os.environ["PATH"], "HOME": "/nonexistent", **({"SSH_AUTH_SOCK": agent} if agent else {})}


def run(*argv: str, agent: str = "") -> str:
    """Run a program, which must succeed, and return its output."""
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, env=environment(agent), check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextlib.contextmanager
def running_agent() -> Iterator[RealAgent]:
    """Run an agent. Its directory has a short path, for the socket."""
    directory = Path(tempfile.mkdtemp(prefix="ccvm-a"))
    agent = RealAgent(str(directory / "s"), directory)
    with subprocess.Popen(["ssh-agent", "-D", "-a", agent.socket], stdout=subprocess.DEVNULL) as process:
        try:
            wait_until(Path(agent.socket).is_socket)
            for kind in ("ed25519", "rsa"):
                file = directory / kind
                run("ssh-keygen", "-q", "-t", kind, "-N", "", "-C", COMMENT, "-f", str(file))
                run("ssh-add", "-q", str(file), agent=agent.socket)
                file.unlink()
            yield agent
        finally:
            process.terminate()
            process.wait()
            shutil.rmtree(directory)
