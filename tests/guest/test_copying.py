"""``ccvm-tui cp`` with a real guest, in both directions."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.guest.conftest import COMMAND, RealGuest, ccvm_tui
from tests.waiting import wait_until


def cp(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[bytes]:
    return ccvm_tui("cp", *map(str, arguments), cwd=cwd)


def tree(root: Path) -> dict[str, tuple[int, bytes]]:
    """Return mode and content of each file below ``root``."""
    return {
        str(path.relative_to(root)): (path.stat().st_mode, path.read_bytes())
        for path in root.rglob("*")
        if path.is_file()
    }


def test_a_directory_goes_into_the_guest_and_comes_back_unchanged(guest: RealGuest, tmp_path: Path) -> None:
    source = tmp_path / "source tree"
    (source / "sub").mkdir(parents=True)
    (source / "sub" / "program").write_bytes(os.urandom(3 << 20))
    (source / "sub" / "program").chmod(0o755)
    (source / "empty").touch()
    (source / "link").symlink_to("sub/program")

    there = cp(source, f"{guest.name}:/tmp")
    assert (there.returncode, there.stderr) == (0, b"")
    assert guest.sh("cd '/tmp/source tree'; stat -c '%a %U' sub/program; readlink link") == "755 dev\nsub/program\n"

    back = cp(f"{guest.name}:/tmp/source tree", tmp_path / "new name")
    assert (back.returncode, back.stderr) == (0, b"")
    assert tree(tmp_path / "new name") == tree(source)
    assert os.readlink(tmp_path / "new name" / "link") == "sub/program"
    guest.sh("rm -r '/tmp/source tree'")


def test_what_cannot_be_copied_is_reported(guest: RealGuest, tmp_path: Path) -> None:
    guest.sh("mkdir -p /tmp/odd; cd /tmp/odd; echo ok >ok; ln -sf /etc/passwd out; mkfifo pipe; touch no; chmod 0 no")
    result = cp(f"{guest.name}:/tmp/odd", tmp_path)
    guest.sh("rm -rf /tmp/odd")
    assert result.returncode == 1
    for part in (b"out: leads out", b"pipe: not a file", b"no: Permission denied"):
        assert part in result.stderr
    assert sorted(path.name for path in (tmp_path / "odd").iterdir()) == ["ok"]
    missing = cp(f"{guest.name}:/nonexistent", tmp_path)
    assert missing.returncode == 1
    assert b"/nonexistent: No such file" in missing.stderr


@pytest.mark.attack
def test_a_link_that_the_guest_has_planted_in_the_project_leads_nowhere(guest: RealGuest, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    guest.sh(f"ln -s {outside} results; echo planted >/tmp/file")
    try:
        for arguments in (
            (f"{guest.name}:/tmp/file", guest.project / "results"),
            (f"{guest.name}:/tmp/file", guest.project / "results" / "new"),
            (guest.project / "results" / "secret", f"{guest.name}:/tmp"),
            (guest.project / "results", f"{guest.name}:/tmp"),
        ):
            result = cp(*arguments)
            assert result.returncode == 1
            assert b"symbolic link" in result.stderr
        assert [path.name for path in outside.iterdir()] == ["secret"]
        assert guest.sh("ls /tmp/secret /tmp/results 2>/dev/null || true") == ""
    finally:
        guest.sh("rm results /tmp/file")


def test_ctrl_c_ends_a_copy_and_the_program_in_the_guest(guest: RealGuest, tmp_path: Path) -> None:
    guest.sh("truncate -s 4G /tmp/huge")
    copying = subprocess.Popen([*COMMAND, "cp", f"{guest.name}:/tmp/huge", str(tmp_path)], stderr=subprocess.PIPE)
    wait_until(lambda: any(path.stat().st_size for path in tmp_path.iterdir()))
    copying.send_signal(signal.SIGINT)
    copying.communicate(timeout=30)
    assert copying.returncode == 130
    assert list(tmp_path.iterdir()) == []
    wait_until(lambda: guest.run("pgrep", "-f", "/usr/lib/ccvm/copy").returncode == 1)
    guest.sh("rm /tmp/huge")


def test_both_ends_in_a_guest_or_on_the_host_are_refused(guest: RealGuest) -> None:
    for arguments in (("a", "b"), (f"{guest.name}:a", f"{guest.name}:b")):
        result = cp(*arguments)
        assert result.returncode == 1
        assert b"must be in a guest" in result.stderr
