"""The environment in a guest: files, tools, users, kernel, clock, terminal."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from pathlib import Path

import pytest

from tests.guest.conftest import RealGuest
from tests.terminals import attached

pytestmark = pytest.mark.unmeasured


def test_the_project_has_the_same_path_and_owner_as_on_the_host(guest: RealGuest) -> None:
    assert guest.sh("pwd").rstrip("\n") == str(guest.project)
    assert guest.sh("cat hello.txt") == "from the host\n"
    assert guest.sh("id -u; id -g").split() == [str(os.getuid()), str(os.getgid())]
    guest.sh("echo from the guest > made; mkdir -p d; ln -s made link; chmod 750 made")
    made = guest.project / "made"
    assert made.read_text() == "from the guest\n"
    assert made.stat().st_uid == os.getuid()
    assert made.stat().st_mode & 0o777 == 0o750
    assert os.readlink(guest.project / "link") == "made"


def test_no_other_files_of_the_host_are_visible(guest: RealGuest) -> None:
    assert guest.sh('ls -A "$(dirname "$PWD")"').splitlines() == [guest.project.name]
    found = guest.sh(f"find '{Path.home()}' -mindepth 1 2>/dev/null || true").splitlines()
    assert [path for path in found if not str(guest.project).startswith(path)] == []


def test_the_share_is_mounted_nosuid_nodev(guest: RealGuest) -> None:
    options = guest.sh("findmnt -no OPTIONS --target . 2>/dev/null || grep ' virtiofs ' /proc/mounts")
    assert "nosuid" in options
    assert "nodev" in options


def test_edits_on_the_host_are_visible_immediately(guest: RealGuest) -> None:
    file = guest.project / "edited"
    for number in range(5):
        file.write_text(f"version {number}\n" * (number + 1))
        assert guest.sh("cat edited") == f"version {number}\n" * (number + 1)


def test_git_and_sqlite_work_on_the_share(guest: RealGuest) -> None:
    guest.sh(
        "rm -rf repo; git init -q repo; cd repo; echo a > a; git add a;"
        "git -c user.name=x -c user.email=x@x commit -qm a; git gc -q; git fsck --strict"
    )
    log = subprocess.run(["git", "-C", guest.project / "repo", "log", "--format=%s"], capture_output=True, check=True)
    assert log.stdout == b"a\n"
    guest.sh(
        """rm -f db*; python3 -c '
import sqlite3
c = sqlite3.connect("db")
c.execute("create table t (x)")
c.executemany("insert into t values (?)", [(i,) for i in range(1000)])
c.commit()
c.execute("pragma mmap_size=1000000")
print(c.execute("select sum(x) from t").fetchone()[0])'"""
    )
    with sqlite3.connect(guest.project / "db") as database:
        assert database.execute("select count(*) from t").fetchone() == (1000,)


def test_mmap_is_shared_with_the_host(guest: RealGuest) -> None:
    guest.sh(
        """python3 -c '
import mmap
with open("mapped", "wb") as f: f.write(b"\\0" * 8192)
with open("mapped", "r+b") as f:
    m = mmap.mmap(f.fileno(), 8192); m[4096:4101] = b"hello"; m.flush(); m.close()'"""
    )
    assert (guest.project / "mapped").read_bytes()[4096:4101] == b"hello"


def test_common_tools_are_installed(guest: RealGuest) -> None:
    tools = "zsh bash git vim less tmux curl rg fd jq python3 sshd sudo cryptsetup htop tput ssh rsync"
    missing = guest.sh(f"PATH=$PATH:/usr/sbin; for t in {tools}; do command -v $t >/dev/null || echo $t; done")
    assert missing == ""


def test_sudo_needs_no_password_and_root_is_locked(guest: RealGuest) -> None:
    assert guest.sh("sudo -n id -u").strip() == "0"
    assert guest.sh("sudo -n awk -F: '$1==\"root\"{print $2}' /etc/shadow").strip()[:1] in ("*", "!")


def test_home_is_in_ram_and_the_locale_is_utf8(guest: RealGuest) -> None:
    assert guest.sh("echo $HOME; stat -f -c %T ~").split() == ["/home/dev", "tmpfs"] or "overlay" in guest.sh(
        "stat -f -c %T ~"
    )
    assert (
        "UTF-8"
        in guest.sh("locale charmap 2>/dev/null || python3 -c 'import locale; print(locale.getencoding())'").upper()
    )


def test_the_kernel_is_hardened(guest: RealGuest) -> None:
    values = guest.sh(
        "cd /proc/sys; cat kernel/kptr_restrict kernel/dmesg_restrict kernel/unprivileged_bpf_disabled; sudo cat net/core/bpf_jit_harden kernel/kexec_load_disabled"
    )
    kptr, dmesg, bpf, jit, kexec = map(int, values.split())
    assert (kptr, dmesg, jit, kexec) == (2, 1, 2, 1)
    assert bpf >= 1


def test_orphans_are_reaped(guest: RealGuest) -> None:
    """A grandchild whose parent has exited becomes a child of init, which reaps it."""
    orphan = guest.sh("sh -c 'sleep 0.2 & echo $!'").strip()
    guest.sh(
        f"for i in $(seq 100); do [ -e /proc/{orphan} ] || exit 0; sleep 0.1; done; cat /proc/{orphan}/status; exit 1"
    )


def test_exec_is_binary_safe_and_passes_the_status(guest: RealGuest) -> None:
    data = bytes(range(256)) * 2000
    result = guest.exec("sh", "-c", "cat; echo oops >&2; exit 42", data=data)
    assert (result.stdout, result.stderr, result.returncode) == (data, b"oops\n", 42)


@pytest.mark.parametrize("word", ["", "a b", "it's", '"', "$HOME", "*", "--", "ünïcode", "a\nb", "\\"])
def test_arguments_arrive_byte_for_byte(guest: RealGuest, word: str) -> None:
    result = guest.exec("printf", "%s|", word, "end")
    assert result.stdout.decode() == f"{word}|end|"


def test_the_clock_is_right(guest: RealGuest) -> None:
    import time

    assert abs(float(guest.sh("date +%s.%N")) - time.time()) < 3
    source = guest.sh("cat /sys/devices/system/clocksource/clocksource0/current_clocksource")
    assert "jiffies" not in source  # a busy host loses ticks, so that the clock would be slow


async def test_a_shell_has_the_right_terminal(guest: RealGuest) -> None:
    async with attached(guest.name, "s1", cols=97, rows=31) as terminal:
        terminal.type("clear; stty size; echo $TERM; tput colors\r")
        await terminal.until("31 97")
        await terminal.until("256")
