"""Two guests for all attacks: the victim's, in which the attacker is root, and a second one of the same user."""

from __future__ import annotations

import contextlib
import json
import secrets
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from ccvm_tui.client import listing
from ccvm_tui.image import Image
from ccvm_tui.project.directory import guest_name
from tests.attack.searching import Watch
from tests.conftest import XDG, share_nothing
from tests.guest.conftest import RealGuest, lasting_home, start
from tests.share.client import snapshot

PROGRAMS = Path(__file__).parent / "programs"

HOSTILE_NAME = "-a, $(touch pwned) `id`; b='c\" %s,file=secret \u202e«é»"
"""The name of the project's directory, which a repository's author could have chosen."""

API_KEY = "ANTHROPIC_API_KEY"

RSS_GROWTH_MAX = 96 << 20
"""Bytes by which a process of the host may grow during a flood."""


@dataclass(frozen=True)
class AttackedGuest(RealGuest):
    """A guest in which an attacker is root."""

    def root(self, script: str, *arguments: str, within: float = 60) -> str:
        """Run a shell script as root, which must succeed, and return its output."""
        done = self.run("sudo", "bash", "-euo", "pipefail", "-c", script, "attack", *arguments, within=within)
        assert done.returncode == 0, (done.stdout + done.stderr).decode(errors="replace")
        return done.stdout.decode(errors="replace")

    def program(self, name: str, *arguments: str, within: float = 120) -> str:
        """Run a Python program of ``programs`` as root, which must succeed, and return its output."""
        done = self.run("sudo", "python3", "-c", self.source(name), *arguments, within=within)
        assert done.returncode == 0, (done.stdout + done.stderr).decode(errors="replace")
        return done.stdout.decode(errors="replace")

    @staticmethod
    def source(name: str) -> str:
        """Return the source of a program of ``programs``."""
        return (PROGRAMS / f"{name}.py").read_text()

    @property
    def processes(self) -> list[psutil.Process]:
        """The processes of this guest on the host."""
        return [self.keeper, *self.keeper.children(recursive=True)]

    @contextlib.contextmanager
    def bounded(self) -> Iterator[None]:
        """Check that no process of the host grows much in the block, and that all of them run and respond after it."""
        before = {process.pid: process.memory_info().rss for process in self.processes if process != self.qemu}
        yield
        assert self.info["state"] == "running"
        for process in self.processes:
            if process.pid in before:
                assert process.memory_info().rss - before.pop(process.pid) < RSS_GROWTH_MAX, process.cmdline()[:6]
        assert not before, "a process of the host has died"


@dataclass
class Place:
    """The directory with the homes of both guests, and a directory of the user that no guest may reach."""

    root: Path
    key: str = field(default_factory=lambda: "sk-ant-" + secrets.token_hex(20))
    token: str = field(default_factory=lambda: "sk-ant-oat01-" + secrets.token_hex(20))
    seen: set[str] = field(default_factory=set)
    """Places of the API key in processes of the host while the victim's guest started."""
    replies: dict[str, int] = field(default_factory=dict)
    """The error numbers of the replies on the raw device, by request."""
    spoken: bool = False
    """Whether the second guest has said hostile things."""

    @property
    def outside(self) -> Path:
        return self.root / "outside"

    @property
    def configuration(self) -> Path:
        """A configuration directory of Claude Code with a subscription's credentials."""
        return self.root / "claude"

    def create(self) -> None:
        (self.outside / "below").mkdir(parents=True)
        (self.outside / "secret").write_text("of the host\n")
        (self.outside / "below" / "secret").write_text("of the host, too\n")
        program = self.outside / "program"
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
        (self.root / "projects").mkdir()
        self.configuration.mkdir()
        credentials = {"claudeAiOauth": {"accessToken": self.token, "refreshToken": f"{self.token}-refresh"}}
        (self.configuration / ".credentials.json").write_text(json.dumps(credentials))
        (self.configuration / ".claude.json").write_text(json.dumps({"primaryApiKey": f"{self.token}-primary"}))
        (self.configuration / "settings.json").write_text(json.dumps({"env": {"A_TOKEN": f"{self.token}-env"}}))
        (self.configuration / "CLAUDE.md").write_text("Be brief.\n")


@pytest.fixture(scope="package")
def place() -> Iterator[Place]:
    with lasting_home() as root:
        place = Place(root)
        place.create()
        yield place


@pytest.fixture
def untouched(place: Place) -> Iterator[None]:
    """Check after the test that nothing outside of the projects has changed."""

    def state() -> object:
        return snapshot(str(place.outside).encode(), times=True), sorted(path.name for path in place.root.iterdir())

    before = state()
    yield
    assert state() == before


def _guest(
    place: Place, name: str, image: Image, monkeypatch: pytest.MonkeyPatch, *options: str
) -> tuple[AttackedGuest, bool]:
    """Return the guest of a project, and whether it was started just now."""
    assert image.digest
    for variable in XDG:
        monkeypatch.setenv(variable, str(place.root / variable))
    share_nothing(monkeypatch)
    project = place.root / "projects" / name
    if guest_name(project.resolve()) in listing.names():
        return AttackedGuest(guest_name(project.resolve()), project), False
    project.mkdir(parents=True, exist_ok=True)
    (project / "hello.txt").write_text("from the host\n")
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(place.configuration))
    return AttackedGuest(start(project, "--linger", *options).name, project), True


@pytest.fixture
def victim(place: Place, image: Image, monkeypatch: pytest.MonkeyPatch, untouched: None) -> AttackedGuest:  # noqa: ARG001
    """A guest with a writable project, whose first session has an API key, and else the default settings."""
    place.outside.mkdir(exist_ok=True)
    with Watch(place.key) as watch, pytest.MonkeyPatch.context() as with_key:
        with_key.setenv(API_KEY, place.key)
        guest, started = _guest(place, HOSTILE_NAME, image, monkeypatch, "--login", "key")
    if started:
        assert watch.rounds > 3
        place.seen |= watch.found
    return guest


@pytest.fixture
def second(place: Place, image: Image, monkeypatch: pytest.MonkeyPatch, untouched: None) -> AttackedGuest:  # noqa: ARG001
    """A guest with an allowlist and placeholders for logins, on a PCI bus: root can use devices without drivers."""
    guest, _ = _guest(
        place,
        "second",
        image,
        monkeypatch,
        "--machine",
        "q35",
        "--egress",
        "allowlist",
        "--memory",
        "512",
        "--cores",
        "1",
    )
    return guest


def quoted(*words: object) -> str:
    """Return words for a shell."""
    return shlex.join(str(word) for word in words)
