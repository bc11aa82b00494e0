"""Edits of a read-only project in a real guest: shown, applied to the host, undone, and lost."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.cli.ptys import Pty
from tests.guest.conftest import COMMAND, RealGuest, Starter, ccvm_tui
from tests.waiting import wait_until


def diff(guest: RealGuest, *args: str) -> subprocess.CompletedProcess[bytes]:
    return ccvm_tui("diff", guest.name, *args, cwd=guest.project)


def changes(guest: RealGuest, folder: str) -> dict[str, dict[str, Any]]:
    listed = json.loads(diff(guest, "--json").stdout)["changes"]
    return {change["path"]: change for change in listed if change["path"].startswith(folder)}


def files(directory: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(directory)): (
            path.lstat().st_mode,
            os.fsencode(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else b"",
        )
        for path in directory.rglob("*")
    }


def plant(guest: RealGuest, folder: str) -> Path:
    directory = guest.project / folder
    (directory / "gone").mkdir(parents=True)
    (directory / "src").mkdir()
    (directory / "changed").write_text("".join(f"{number}\n" for number in range(30)))
    (directory / "deleted").write_text("host\n")
    (directory / "mode").write_text("#!/bin/sh\n")
    (directory / "gone" / "a").write_text("a\n")
    (directory / "src" / "f").write_text("f\n")
    (directory / "moved").write_text("moved\n")
    return directory


EDIT = r"""
cd $FOLDER
sed -i -e 's/^5$/five/' -e 's/^25$/twentyfive/' changed
rm -r deleted gone
chmod 755 mode
mkdir -p new/deep; printf 'new\n' > new/deep/f; printf '\0\1' > new/binary; ln -s ../changed new/link
mv src source; echo more >> source/f
git mv moved elsewhere 2>/dev/null || mv moved elsewhere
"""


def test_all_kinds_of_edits_are_shown_applied_and_undone(read_only: RealGuest) -> None:
    directory = plant(read_only, "kinds")
    before = files(directory)
    read_only.sh(EDIT.replace("$FOLDER", "kinds"))
    shown = changes(read_only, "kinds/")
    assert {path.removeprefix("kinds/"): change["change"] for path, change in shown.items()} == {
        "changed": "changed", "deleted": "deleted", "gone": "deleted", "mode": "changed", "new/deep/f": "added",
        "new/binary": "added", "new/link": "added", "source": "renamed", "source/f": "changed", "elsewhere": "renamed",
    }  # fmt: skip
    assert (shown["kinds/changed"]["added"], shown["kinds/changed"]["removed"]) == (2, 2)
    result = diff(read_only, "kinds/changed")
    assert (result.returncode, result.stdout.count(b"\n@@")) == (1, 2)
    assert b"+twentyfive\n" in result.stdout
    assert files(directory) == before

    inside = read_only.sh("cd kinds; find . -type f | sort | xargs sha256sum; readlink new/link")
    applied = ccvm_tui("apply", read_only.name, "kinds", cwd=read_only.project)
    assert applied.returncode == 0, applied.stderr.decode()
    outside = subprocess.run(
        ["sh", "-c", "find . -type f | sort | xargs sha256sum; readlink new/link"], cwd=directory, capture_output=True
    )
    assert outside.stdout.decode() == inside
    assert os.access(directory / "mode", os.X_OK)
    assert not (directory / "gone").exists()
    assert changes(read_only, "kinds") == {}
    assert read_only.sh("cd kinds; find . -type f | sort | xargs sha256sum; readlink new/link") == inside

    undone = ccvm_tui("apply", "--undo", read_only.name)
    assert undone.returncode == 0, undone.stderr.decode()
    assert files(directory) == before
    assert changes(read_only, "kinds") == shown
    assert read_only.sh("cd kinds; find . -type f | sort | xargs sha256sum; readlink new/link") == inside
    assert ccvm_tui("apply", "--undo", read_only.name).returncode == 1


def test_after_a_rename_was_applied_the_guest_sees_the_hosts_file(read_only: RealGuest) -> None:
    (read_only.project / "renamed" / "src" / "deep").mkdir(parents=True)
    (read_only.project / "renamed" / "src" / "deep" / "f").write_text("1\n")
    read_only.sh("cd renamed; mkdir -p lib; mv src lib/source; cat lib/source/deep/f")
    assert ccvm_tui("apply", read_only.name, "renamed", cwd=read_only.project).returncode == 0
    (read_only.project / "renamed" / "lib" / "source" / "deep" / "f").write_text("2\n")
    (read_only.project / "renamed" / "lib" / "new").write_text("3\n")
    wait_until(lambda: read_only.sh("cd renamed; cat lib/source/deep/f lib/new") == "2\n3\n")


def test_a_conflict_is_shown_and_refused(read_only: RealGuest) -> None:
    directory = read_only.project / "conflict"
    directory.mkdir()
    (directory / "f").write_text("base\n")
    read_only.sh("echo guest > conflict/f; echo guest > conflict/other")
    (directory / "f").write_text("host\n")
    assert changes(read_only, "conflict/")["conflict/f"]["conflict"] == "changed on the host, changed in the guest"
    result = ccvm_tui("apply", read_only.name, "conflict", cwd=read_only.project)
    assert result.returncode == 1
    assert b"not applied: conflict/f: both sides have changed it" in result.stderr
    assert result.stdout == b"applied conflict/other\n"
    assert ((directory / "f").read_text(), (directory / "other").read_text()) == ("host\n", "guest\n")


def test_a_path_without_a_change_is_an_error(read_only: RealGuest) -> None:
    result = diff(read_only, "no-such-file")
    assert (result.returncode, result.stdout) == (2, b"")
    assert b"has not changed no-such-file" in result.stderr


def test_the_changes_of_a_writable_project_since_its_start_are_shown(
    own_guest: Starter, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CCVM_GUARD", "off")  # the review runs no program even if the guard does not help
    project = home / "project"
    project.mkdir()
    git = ("git", "-C", str(project), "-c", "user.name=a", "-c", "user.email=a@b.invalid")
    (project / "f").write_text("committed\n")
    for args in (["init", "-q"], ["add", "."], ["commit", "-qm", "1"]):
        subprocess.run([*git, *args], check=True)
    (project / "f").write_text("before the start\n")
    guest = own_guest()
    assert diff(guest).returncode == 0
    guest.sh(f"echo guest > f; echo new > g; git add g; echo 'touch {project}/ran' > evil; chmod +x evil")
    guest.sh(f"git config core.fsmonitor {project}/evil; git config diff.external {project}/evil")
    result = diff(guest, "f", "g")
    assert result.returncode == 1
    assert b"-before the start\n+guest\n" in result.stdout
    assert b"+++ b/g\n" in result.stdout
    assert not (project / "ran").exists()
    applied = ccvm_tui("apply", guest.name)
    assert applied.returncode == 1
    assert b"is writable" in applied.stderr


def test_what_was_applied_can_be_undone_after_the_end_of_the_guest(own_guest: Starter) -> None:
    guest = own_guest("--read-only")
    (guest.project / "f").write_text("host\n")
    guest.sh("echo guest > f; echo more > g")
    assert ccvm_tui("apply", guest.name, "f", cwd=guest.project).returncode == 0
    refused = ccvm_tui("stop", guest.name)
    assert refused.returncode == 1
    assert b"1 changed file exists only in the guest: g" in refused.stderr
    assert b"`ccvm-tui apply " in refused.stderr
    terminal = Pty([*COMMAND, "stop", guest.name], 80, 24)
    terminal.until("only in the guest: g")
    terminal.type("d\n")
    terminal.until("+more")
    terminal.type("a\n")
    terminal.until("applied g")
    terminal.until("Stop ")
    terminal.type("y\n")
    assert terminal.ended() == 0
    assert ((guest.project / "f").read_text(), (guest.project / "g").read_text()) == ("guest\n", "more\n")
    assert ccvm_tui("apply", "--undo", cwd=guest.project).returncode == 0
    assert not (guest.project / "g").exists()
    assert ccvm_tui("apply", "--undo", cwd=guest.project).returncode == 0
    assert (guest.project / "f").read_text() == "host\n"
