"""A real guest, shared by all tests that do not break it, and fixtures that start separate guests."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from ccvm_tui.client import listing
from ccvm_tui.image import Image
from ccvm_tui.paths import GuestPaths
from tests.conftest import XDG, share_nothing, stop_all
from tests.programs import completed

BOOT_WITHIN = 240


@pytest.fixture(autouse=True)
def one_core(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give guests one core, unless a test gives them another number of cores.

    The guests of two test processes that run at the same time have together no more cores than the host. If they had two
    each, their kernels would spin while they wait for a lock whose holder the host does not run; see ``bench/parallel.py``.
    """
    if "home" in request.fixturenames:
        request.getfixturevalue("home")  # it deletes such variables
    monkeypatch.setenv("CCVM_CORES", "1")


@dataclass(frozen=True)
class RealGuest:
    """A running guest, with its name and its project's directory."""

    name: str
    project: Path

    def run(self, *argv: str, data: bytes = b"", within: float = 60) -> subprocess.CompletedProcess[bytes]:
        """Run a program in the guest, without a process of the command line."""
        return completed(self.name, *argv, data=data, within=within)

    def exec(self, *argv: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run a program in the guest with ``ccvm-tui exec``."""
        return ccvm_tui("exec", self.name, "--", *argv, data=data)

    def sh(self, script: str, within: float = 60) -> str:
        """Run a shell script in the guest, which must succeed, and return its output."""
        result = self.run("sh", "-ec", script, within=within)
        assert result.returncode == 0, result.stderr.decode()
        return result.stdout.decode()

    @property
    def info(self) -> dict[str, Any]:
        return listing.ask_once(self.name)

    @property
    def keeper(self) -> psutil.Process:
        return psutil.Process(self.info["keeper_pid"])

    @property
    def qemu(self) -> psutil.Process:
        return psutil.Process(self.info["qemu_pid"])

    @property
    def screen(self) -> psutil.Process:
        return next(child for child in self.keeper.children() if "ccvm_tui.screen" in child.cmdline())

    @property
    def file_server(self) -> psutil.Process:
        return next(child for child in self.keeper.children() if "ccvm_tui.share" in child.cmdline())

    @property
    def directory(self) -> Path:
        """The guest's directory in the runtime directory."""
        return GuestPaths(self.name).dir

    def open(self, *options: str) -> str:
        """Start a detached session and return its id. It is a shell unless ``options`` select another program."""
        result = ccvm_tui("run", "--detach", *(options or ("--shell",)), within=60, cwd=self.project)
        assert result.returncode == 0, result.stderr.decode()
        return result.stdout.decode().strip().partition("/")[2]


COMMAND = (sys.executable, "-P", "-m", "ccvm_tui")


def ccvm_tui(
    *args: str, data: bytes = b"", within: float = 60, cwd: Path | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run the real command in a separate process."""
    return subprocess.run(
        [*COMMAND, *args],
        input=data,
        capture_output=True,
        timeout=within,
        cwd=cwd,
        env={**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"},
    )


def start(project: Path, *options: str) -> RealGuest:
    """Boot a guest for ``project`` with a detached shell."""
    result = ccvm_tui("run", "--detach", "--shell", "--memory", "1024", *options, str(project), within=BOOT_WITHIN)
    assert result.returncode == 0, result.stderr.decode()
    return RealGuest(result.stdout.decode().strip().partition("/")[0], project)


@contextlib.contextmanager
def lasting_home() -> Iterator[Path]:
    """Yield a home with runtime, configuration and state directories for guests that outlive a test."""
    root = Path(tempfile.mkdtemp(prefix="ccvm-g"))
    for name in XDG:
        (root / name).mkdir(mode=0o700)
    yield root
    stop_all(str(root / "XDG_RUNTIME_DIR"))
    shutil.rmtree(root, ignore_errors=True)


def at_home(home: Path, directory: str, monkeypatch: pytest.MonkeyPatch, *options: str) -> RealGuest:
    """Return the guest of a lasting home, and boot it if it is not running."""
    for name in XDG:
        monkeypatch.setenv(name, str(home / name))
    monkeypatch.setenv("HOST_ONLY", "a value of the host's environment, which no guest has")
    share_nothing(monkeypatch)
    project = home / directory
    if names := listing.names():
        return RealGuest(names[0], project)
    project.mkdir(exist_ok=True)
    (project / "hello.txt").write_text("from the host\n")
    return start(project, "--linger", *options)


HomeOf = Callable[[str], Path]


@pytest.fixture(scope="package")
def home_of() -> Iterator[HomeOf]:
    """``home_of("spare")`` is the home of a guest that several tests use, created for the first of them."""
    with contextlib.ExitStack() as stack:
        yield functools.cache(lambda _: stack.enter_context(lasting_home()))


@pytest.fixture
def guest(home_of: HomeOf, image: Image, monkeypatch: pytest.MonkeyPatch) -> RealGuest:  # noqa: ARG001 - it must exist
    """The shared guest. A test must leave it unchanged."""
    return at_home(home_of("shared"), "a project, it's «shared»", monkeypatch)


@pytest.fixture
def spare(home_of: HomeOf, image: Image, monkeypatch: pytest.MonkeyPatch) -> RealGuest:  # noqa: ARG001 - it must exist
    """A guest with little memory that a test may break. If it survives, the next test uses it: open new sessions."""
    return at_home(home_of("spare"), "project", monkeypatch, "--memory", "512")


@pytest.fixture
def shared(home_of: HomeOf, image: Image, monkeypatch: pytest.MonkeyPatch) -> RealGuest:  # noqa: ARG001 - it must exist
    """A guest with two cores for tests of the project's directory, which is writable and empty."""
    guest = at_home(home_of("writable"), "project", monkeypatch, "--cores", "2")
    for entry in guest.project.iterdir():
        shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    return guest


@pytest.fixture
def read_only(home_of: HomeOf, image: Image, monkeypatch: pytest.MonkeyPatch) -> RealGuest:  # noqa: ARG001 - it must exist
    """A guest with two cores and a read-only project, in which each test uses its own directory."""
    return at_home(home_of("read-only"), "project", monkeypatch, "--read-only", "--cores", "2")


Starter = Callable[..., RealGuest]


@pytest.fixture
def own_guest(home: Path, image: Image) -> Starter:  # noqa: ARG001 - it must exist
    """``own_guest("--read-only")`` boots a guest that the test may break."""

    def starter(*options: str) -> RealGuest:
        project = home / "project"
        project.mkdir(exist_ok=True)
        return start(project, *options)

    return starter


async def in_thread(function: Callable[..., object], *arguments: object) -> object:
    """Run a blocking function in a thread."""
    return await asyncio.to_thread(function, *arguments)


def own_uid() -> int:
    return os.getuid()
