"""The protection of a real guest and its host: the guest's own settings, what it does not know, and the host's processes."""

from __future__ import annotations

import os
import pwd
import socket
from pathlib import Path

import psutil

from ccvm_tui.machine.protection import Protection
from tests.guest.conftest import RealGuest
from tests.guest.test_egress import own_address


def test_every_process_of_a_guest_is_confined(guest: RealGuest) -> None:
    for process, isolated in ((guest.qemu, True), (guest.screen, True), (guest.file_server, False)):
        found = Protection.of(process.pid)
        assert found.no_new_privileges
        assert found.filters == (2 if process == guest.qemu else 1)
        assert found.capabilities == 0
        assert found.isolated or not isolated
        assert os.getsid(process.pid) == os.getpgid(process.pid) == process.pid
        assert process.rlimit(psutil.RLIMIT_CORE) == (0, 0)
        assert int(Path(f"/proc/{process.pid}/coredump_filter").read_text(), 16) == 0
        assert set(process.environ()) <= {"PYTHONPATH", "PYTHONPYCACHEPREFIX"}
        opened = [file.path for file in process.open_files()]
        assert not [path for path in opened if path.startswith(("/etc", "/root", str(guest.directory)))]
        assert not process.net_connections("inet")
    assert guest.qemu.environ() == {}


def test_the_system_is_locked_down(guest: RealGuest) -> None:
    """Invariants of the predecessor, each from inside; the kernel's parameters have a test of their own."""
    shadow, hidden, kexec, bpf, mounts, sshd = guest.sh(
        r"""
        sudo grep ^root: /etc/shadow | cut -d: -f2
        sudo sh -c "grep -vc '^0000000000000000 ' /proc/kallsyms" || true
        sudo python3 -c "import ctypes; l = ctypes.CDLL(None, use_errno=True); print(l.syscall(246, 0, 0, None, 0), ctypes.get_errno())"
        python3 -c "import ctypes; l = ctypes.CDLL(None, use_errno=True); print(l.syscall(321, 5, ctypes.create_string_buffer(128), 128), ctypes.get_errno())"
        echo $(grep virtiofs /proc/mounts | grep -vc nosuid,nodev) || true
        echo $(sudo /usr/sbin/sshd -T -f /run/ccvm/ssh/config)
        """
    ).splitlines()
    assert shadow[0] in "*!"
    assert hidden == "0"
    assert kexec == "-1 1"  # EPERM, even for root
    assert bpf == "-1 1"
    assert mounts == "0"
    for option in (
        "permitrootlogin no", "passwordauthentication no", "kbdinteractiveauthentication no", "permittunnel no",
        "allowagentforwarding no", "x11forwarding no", "gatewayports no", "allowusers dev", "usepam no",
        "authenticationmethods publickey",
    ):  # fmt: skip
        assert f" {option} " in f" {sshd} ", option
    assert guest.run("dmesg").returncode != 0


SEARCH = r"""
import os, sys
needles = [needle.encode() for needle in sys.stdin.read().split("\0")]
def data():
    for pid in filter(str.isdigit, os.listdir("/proc")):
        for name in ("environ", "cmdline", "comm", "mountinfo", "cgroup", "net/arp", "net/route", "net/fib_trie"):
            yield f"/proc/{pid}/{name}"
    for name in ("cmdline", "version", "keys", "iomem", "modules"):
        yield f"/proc/{name}"
    for root in ("/etc", "/run", "/home", "/root", "/var", "/opt", "/sys/class", "/sys/devices/virtual", "/sys/firmware"):
        for directory, _, files in os.walk(root):
            if not directory.startswith("/run/ccvm/shares"):
                yield from (f"{directory}/{file}" for file in files)
for path in data():
    try:
        if not os.path.isfile(path) or os.path.getsize(path) > 1 << 24:
            continue
        with open(path, "rb") as file:
            content = file.read(1 << 24)
    except OSError:
        continue
    for needle in needles:
        if needle in content and f"/{os.getpid()}/" not in path:
            print(path, needle)
"""


def test_the_guest_learns_nothing_about_the_host(guest: RealGuest) -> None:
    """Root in the guest searches for the host's user, addresses and paths other than the project's.

    The test of the guest's memory searches for others, which this one therefore must not send to the guest.
    """
    user = pwd.getpwuid(os.getuid())
    needles = [
        user.pw_name,
        user.pw_dir,
        own_address(),
        os.environ["XDG_CONFIG_HOME"],
    ]
    if len(socket.gethostname()) > 4:  # a shorter name is part of many words
        needles.append(socket.gethostname())
    found = guest.run("sudo", "python3", "-c", SEARCH, data="\0".join(needles).encode(), within=120)
    assert (found.stdout, found.returncode) == (b"", 0), found.stderr
    log = guest.sh("sudo dmesg")
    assert not [needle for needle in needles if needle in log]
    assert "HOST_ONLY" not in guest.sh("env; sudo env")
    assert not [name for name in guest.sh("env").splitlines() if name.startswith("SSH_")]


def memory_of(qemu: psutil.Process) -> Path:
    """Return the file of the guest's memory."""
    descriptors = Path(f"/proc/{qemu.pid}/fd").iterdir()
    return next(fd for fd in descriptors if "memfd:" in os.readlink(fd) and fd.stat().st_size >= 256 << 20)


def test_the_environment_of_the_host_is_not_in_the_guests_memory(guest: RealGuest) -> None:
    needles = [os.environ["HOST_ONLY"].encode(), os.environ["XDG_RUNTIME_DIR"].encode()]
    with memory_of(guest.qemu).open("rb") as memory:
        position = 0
        while True:
            try:
                position = os.lseek(memory.fileno(), position, os.SEEK_DATA)
            except OSError:  # the rest is a hole
                break
            chunk = os.pread(memory.fileno(), 1 << 24, position)
            assert not [needle for needle in needles if needle in chunk], hex(position)
            if len(chunk) < 1 << 24:
                break
            position += len(chunk) - 4096  # a needle may lie across two chunks
