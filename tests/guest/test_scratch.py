"""The scratch disk of a real guest."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ccvm_tui.client import listing
from ccvm_tui.paths import scratch_dir
from tests.guest.conftest import BOOT_WITHIN, COMMAND, RealGuest, Starter
from tests.waiting import wait_until


def open_disk(guest: RealGuest) -> Path:
    """Return the link to the disk's file, which has no name, among the open files of QEMU."""
    links = Path(f"/proc/{guest.qemu.pid}/fd").iterdir()
    return next(link for link in links if str(scratch_dir()) in os.readlink(link))


@pytest.fixture
def with_disk(own_guest: Starter, monkeypatch: pytest.MonkeyPatch) -> RealGuest:
    monkeypatch.setenv("CCVM_VM_DISK_SIZE", "3")
    return own_guest("--linger")


def test_the_disk_is_encrypted_mounted_and_gone_after_a_crash(with_disk: RealGuest) -> None:
    guest = with_disk
    assert guest.sh("stat -c '%U %a' /scratch; findmnt -no OPTIONS /scratch").startswith("dev 755\nrw,nosuid,nodev")
    size = int(guest.sh("df --output=size -B1 /scratch | tail -1"))
    assert 2.8 * (1 << 30) < size < 3 * (1 << 30)
    guest.sh("yes 'a known plaintext' | head -c 8M >/scratch/file; sync")

    disk = open_disk(guest)
    with disk.open("rb") as file:
        stored = file.read(1 << 30)
    assert b"a known plaintext" not in stored
    assert any(stored)
    assert disk.stat().st_nlink == 0
    assert 8 << 20 < disk.stat().st_blocks * 512 < 200 << 20

    # a deleted file frees the host's disk
    guest.sh("rm /scratch/file; sync")
    os.sync()
    wait_until(lambda: disk.stat().st_blocks * 512 < 8 << 20)

    qemu = guest.qemu
    guest.keeper.kill()
    qemu.wait(timeout=20)
    assert list(scratch_dir().iterdir()) == []


FULL = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
uid, gid = os.getuid(), os.getgid()
if libc.unshare(0x10000000 | 0x00020000):  # CLONE_NEWUSER, CLONE_NEWNS
    raise OSError(ctypes.get_errno(), "unshare")
open("/proc/self/setgroups", "w").write("deny")
open("/proc/self/uid_map", "w").write(f"{uid} {uid} 1")
open("/proc/self/gid_map", "w").write(f"{gid} {gid} 1")
if libc.mount(b"none", os.fsencode(sys.argv[1]), b"tmpfs", 0, b"size=24m"):
    raise OSError(ctypes.get_errno(), "mount")
os.execv(sys.argv[2], sys.argv[2:])
"""


@pytest.mark.usefixtures("image")
def test_a_full_disk_of_the_host_is_an_error_in_the_guest_and_nothing_else(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The keeper sees a small file system in place of the directory of scratch disks."""
    monkeypatch.setenv("CCVM_VM_DISK_SIZE", "1")
    monkeypatch.setenv("CCVM_SCRATCH_ALLOW_TMPFS", "1")
    project = home / "project"
    project.mkdir()
    scratch_dir().mkdir(parents=True, exist_ok=True)
    run = [*COMMAND, "run", "--detach", "--shell", "--linger", "--memory", "1024", str(project)]
    started = subprocess.run(
        [sys.executable, "-c", FULL, str(scratch_dir()), *run], capture_output=True, timeout=BOOT_WITHIN
    )
    assert started.returncode == 0, started.stderr
    guest = RealGuest(started.stdout.decode().partition("/")[0], project)
    written = guest.run("dd", "if=/dev/urandom", "of=/scratch/big", "bs=1M", "count=100", "conv=fsync", within=120)
    assert written.returncode != 0
    assert b"Input/output error" in written.stderr or b"No space" in written.stderr
    assert guest.info["state"] == "running"
    assert guest.sh("echo alive >/tmp/file; echo alive >alive; cat /tmp/file") == "alive\n"
    assert (project / "alive").read_text() == "alive\n"


@pytest.mark.usefixtures("image")
def test_a_disk_in_memory_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CCVM_VM_DISK_SIZE", "1")
    (home / "project").mkdir()
    run = [*COMMAND, "run", "--detach", "--shell", str(home / "project")]
    scratch_dir().mkdir(parents=True, exist_ok=True)
    result = subprocess.run([sys.executable, "-c", FULL, str(scratch_dir()), *run], capture_output=True, timeout=60)
    assert result.returncode == 4
    assert b"is on a tmpfs" in result.stderr
    wait_until(lambda: listing.names() == [])


@pytest.mark.usefixtures("image")
def test_memory_that_cannot_be_locked_is_refused(home: Path) -> None:
    (home / "project").mkdir()
    script = 'ulimit -l 65536; exec "$@"'
    run = [*COMMAND, "run", "--detach", "--shell", str(home / "project")]
    result = subprocess.run(
        ["sh", "-c", script, "sh", *run], capture_output=True, timeout=60, env={**os.environ, "CCVM_MLOCK": "1"}
    )
    assert result.returncode == 4
    assert b"RLIMIT_MEMLOCK allows" in result.stderr
    assert b"limits.d" in result.stderr
