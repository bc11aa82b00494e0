"""The developer interface explains what stops its set-up. The package manager and sudo are scripts on PATH."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.cli.ptys import Pty

COMMAND = ["sh", str(Path(__file__).parent.parent / "dev"), "run", "version"]


class Host:
    """A host with programs of its own, and with empty directories for temporary files and caches."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.programs, self.cache, self.temporary = (directory / name for name in ("programs", "cache", "temporary"))
        self.programs.mkdir()
        self.temporary.mkdir()
        monkeypatch.setenv("PATH", f"{self.programs}:{os.environ['PATH']}")
        monkeypatch.setenv("XDG_CACHE_HOME", str(self.cache))
        monkeypatch.setenv("TMPDIR", str(self.temporary))
        self.add("apt-get", "exit 1")

    def add(self, name: str, script: str) -> None:
        path = self.programs / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(tmp_path, monkeypatch)


def lines_of_a_refused_installation(host: Host) -> list[str]:
    """Run ``dev`` without any package, agree to the installation, which must fail, and return what is shown."""
    host.add("dpkg-query", "exit 1")
    terminal = Pty(COMMAND, 250, 24)
    try:
        terminal.until("[y] ")
        terminal.type("y\n")
        assert terminal.ended() == 1
    finally:
        terminal.close()
    return terminal.shown.decode().splitlines()


def test_if_sudo_refuses_the_command_for_root_is_printed(host: Host) -> None:
    host.add("sudo", "echo 'sudo: 3 incorrect password attempts' >&2\nexit 1")
    *_, reason, last = lines_of_a_refused_installation(host)
    assert reason == "sudo: 3 incorrect password attempts"
    assert last.startswith("dev: sudo has not run apt-get; install them as root: apt-get install ")
    assert " mmdebstrap " in last
    assert list(host.temporary.iterdir()) == []


def test_if_apt_get_fails_its_output_is_kept(host: Host) -> None:
    host.add("sudo", "echo 'E: Unable to locate package mmdebstrap'\nexit 100")
    last = lines_of_a_refused_installation(host)[-1]
    (log,) = host.temporary.iterdir()
    assert last == f"dev: apt-get failed, its whole output is in {log}"


def test_an_environment_that_cannot_be_created_is_reported_with_another_place(host: Host) -> None:
    host.add("dpkg-query", "echo installed")
    host.cache.mkdir(mode=0o500)
    done = subprocess.run(COMMAND, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    *_, what, then = done.stderr.splitlines()
    assert what == f"dev: the Python environment could not be created in {host.cache}/ccvm-tui-dev"
    assert "in another XDG_CACHE_HOME" in then
