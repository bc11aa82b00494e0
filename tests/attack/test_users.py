"""Attacks of another user of the host. They are made under a uid that belongs to another user, in a user namespace."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.attack.conftest import AttackedGuest, Place
from tests.conftest import XDG, Launch
from tests.guest.conftest import ccvm_tui

AS_ANOTHER_USER = (
    "unshare", "--user", "--map-root-user", "--map-auto", "setpriv", "--reuid=1", "--regid=1", "--clear-groups",
)  # fmt: skip
"""A command prefix. The uid 1 in the namespace is one of the subordinate uids of this user (subuid(5)) outside of it."""


def as_another_user(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*AS_ANOTHER_USER, *argv], capture_output=True, text=True, timeout=60, cwd="/", check=False)


CONNECT = """
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(3)
try:
    s.connect(sys.argv[1])
    print("connected")
    s.sendall(bytes.fromhex(sys.argv[2]))
    print(s.recv(1000))
except OSError as error:
    print(type(error).__name__)
"""


def connect(path: Path, data: bytes) -> list[str]:
    """Connect to a socket as another user, and return what happened: a line for the connection, and for the answer."""
    return as_another_user("/usr/bin/python3", "-c", CONNECT, str(path), data.hex()).stdout.splitlines()


@pytest.fixture
def opened(place: Place, second: AttackedGuest) -> Iterator[AttackedGuest]:
    """The guest while the user's directories are open to all users, except those that this program has made private."""
    assert second.name
    directories = [place.root, *(place.root / variable for variable in XDG)]
    for directory in directories:
        directory.chmod(0o755)
    yield second
    for directory in directories:
        directory.chmod(0o700)


def test_the_other_user_is_another_user(tmp_path: Path) -> None:
    """The control experiment."""
    (tmp_path / "f").touch()
    (tmp_path / "f").chmod(0o600)
    assert as_another_user("/usr/bin/id", "-u").stdout == "1\n"
    assert as_another_user("/usr/bin/cat", "/etc/passwd").returncode == 0
    assert as_another_user("/usr/bin/cat", str(tmp_path / "f")).returncode != 0


@pytest.mark.attack
@pytest.mark.unmeasured
def test_no_file_of_a_guest_can_be_read(opened: AttackedGuest, place: Place) -> None:
    found = as_another_user(
        "/usr/bin/find", *(str(place.root / variable) for variable in XDG), "-type", "f", "-readable"
    )
    assert found.stdout == "", found.stdout
    assert as_another_user("/usr/bin/ls", str(opened.directory)).returncode != 0


@pytest.mark.attack
@pytest.mark.unmeasured
@pytest.mark.parametrize("name", ["keeper.sock", "ssh.sock"])
def test_no_socket_of_a_guest_can_be_reached(opened: AttackedGuest, name: str) -> None:
    assert (opened.directory / name).is_socket()
    assert connect(opened.directory / name, b"") == ["PermissionError"]


@pytest.mark.attack
@pytest.mark.unmeasured
def test_no_process_of_a_guest_can_be_inspected(opened: AttackedGuest) -> None:
    for process in opened.processes:
        for file in ("environ", "mem", "maps", "fd/0", "root/etc/passwd"):
            assert as_another_user("/usr/bin/cat", f"/proc/{process.pid}/{file}").returncode != 0
        assert as_another_user("/bin/kill", "-CONT", str(process.pid)).returncode != 0


@pytest.mark.attack
async def test_the_keeper_answers_no_other_user(local: Launch, home: Path) -> None:
    """It asks the kernel who has connected (SO_PEERCRED), in case its socket has become accessible."""
    keeper = await local("cat", linger=True)
    socket_path = home / "runtime" / "ccvm" / "local-1" / "keeper.sock"
    paths = list(home.rglob("keeper.sock"))
    assert len(paths) == 1, socket_path
    for directory in (*paths[0].relative_to(home).parents, Path()):
        (home / directory).chmod(0o755)
    paths[0].chmod(0o777)
    for greeting in (b'{"protocol": 1, "op": "info"}', b'{"protocol": 1, "op": "stop", "force": true}'):
        answer = connect(paths[0], len(greeting).to_bytes(4, "big") + greeting)
        assert answer in (["connected", "b''"], ["connected", "ConnectionResetError"], ["connected", "BrokenPipeError"])
    assert (await keeper.info()).state == "running"
    assert os.getuid() != 0
    assert ccvm_tui("ls").stdout.count(b"running") == 1
