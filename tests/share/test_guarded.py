"""The guard of the file server: programs that a guest plants never run on the host, and ordinary work is not blocked."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ccvm_tui.guard.report import Report
from ccvm_tui.share.guarded import GuardedTree
from ccvm_tui.share.host import HostTree
from tests.share.attacks import ATTACKS, Attack, Guest
from tests.share.client import Client

GIT = ("git", "-c", "protocol.file.allow=always")


class Host:
    """A repository of the user, and the programs that they run in it."""

    def __init__(self, root: Path) -> None:
        self.project = root / "project"
        self.mark = root / "mark"
        self.program = root / "program"
        self.program.write_text(f"#!/bin/sh\ntouch {self.mark}\n")
        self.program.chmod(0o755)
        self.project.mkdir()
        (root / "home").mkdir()
        self._environment = {
            "PATH": os.environ["PATH"], "HOME": str(root / "home"), "GIT_CONFIG_NOSYSTEM": "1", "GIT_EDITOR": "true",
            **{f"GIT_{who}_{what}": "me@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
        }  # fmt: skip
        self.git("init", "-q", "-b", "main")
        (self.project / "a.txt").write_text("one\n")
        self.git("add", "-A")
        self.git("commit", "-qm", "one")
        for name, mode in (("pre-commit", 0o755), ("post-commit", 0o644)):
            hook = self.project / ".git/hooks" / name
            hook.write_text("#!/bin/sh\n" + (f"exec {self.program}\n" if name == "post-commit" else "exit 0\n"))
            hook.chmod(mode)
        (self.project / "a.txt").write_text("two\n")

    def git(self, *argv: str, place: str = ".") -> subprocess.CompletedProcess[str]:
        """Run Git in a directory of the project. Its exit status is not checked."""
        return subprocess.run(
            [*GIT, *argv], cwd=self.project / place, env=self._environment, capture_output=True, text=True, check=False,
            errors="replace",
            stdin=subprocess.DEVNULL, timeout=60,
        )  # fmt: skip

    def work(self) -> None:
        """Do what a user does, in the project and below it."""
        self._environment.pop("GIT_EDITOR")
        for place in (".", "sub"):
            if (self.project / place).is_dir():
                for argv in (
                    ("status",), ("diff",), ("log", "-p", "-1"), ("add", "-A", "."), ("commit", "--allow-empty"),
                    ("commit", "--allow-empty", "-m", "two"), ("checkout", "-f", "-b", "other"), ("status",),
                ):  # fmt: skip
                    self.git(*argv, place=place)
        self._environment["GIT_EDITOR"] = "true"


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


Serve = Callable[[str], Guest]


@pytest.fixture
def reports() -> list[Report]:
    """The reports of the guard."""
    return []


@pytest.fixture
def serve(host: Host, reports: list[Report]) -> Iterator[Serve]:
    """``serve("block")`` serves the project with this setting."""
    clients = []

    def start(guard: str) -> Guest:
        def unwatched(*_: object) -> None:
            pass

        path = str(host.project)
        if guard == "off":
            tree = HostTree(path, 8, unwatched, unwatched)
        else:
            tree = GuardedTree(path, 8, unwatched, unwatched, blocking=guard == "block", report=reports.append)
        clients.append(Client(tree))
        return Guest(clients[-1], os.fsencode(host.program))

    yield start
    for client in clients:
        client.close()


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_a_planted_program_never_runs(attack: Attack, serve: Serve, host: Host, reports: list[Report]) -> None:
    guest = serve("block")
    attack(guest)
    host.work()
    assert not host.mark.exists()
    assert guest.refused
    unsupported = any(error.errno == errno.EOPNOTSUPP for error in guest.refused)  # the guest's kernel writes instead
    assert unsupported or any(report.blocked for report in reports)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_without_the_guard_the_attack_succeeds(attack: Attack, serve: Serve, host: Host) -> None:
    """The attacks of the test above are real."""
    guest = serve("off")
    attack(guest)
    host.work()
    assert host.mark.exists()
    assert not guest.refused


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_with_warnings_only_the_change_is_made_and_reported(
    attack: Attack, serve: Serve, reports: list[Report]
) -> None:
    guest = serve("warn")
    attack(guest)
    assert not guest.refused
    assert reports
    assert not any(report.blocked for report in reports)
