"""Attempts in real guests: two agents work on one project, and the host's checkout is untouched."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ccvm_tui.image import Image
from tests.attempt.projects import commit, git, repository, write
from tests.conftest import XDG, share_nothing
from tests.guest.conftest import ccvm_tui, lasting_home, start

pytestmark = pytest.mark.unmeasured

IDENTITY = "git config user.name Agent; git config user.email agent@example.org"


@pytest.fixture(scope="module")
def attempts_home() -> Iterator[Path]:
    with lasting_home() as home:
        yield home


def test_two_attempts_work_on_one_project(attempts_home: Path, image: Image, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001 - the image must exist
    for name in XDG:
        monkeypatch.setenv(name, str(attempts_home / name))
    share_nothing(monkeypatch)
    project = repository(
        attempts_home / "app", **{"a.txt": "one\n", ".gitignore": ".env\n", ".worktreeinclude": ".env\n"}
    )
    write(project, **{".env": "KEY=1\n", "a.txt": "uncommitted\n"})
    before = git(project, "status", "--porcelain")

    one = start(project, "--attempt", "one")
    assert one.name.endswith(".one")
    # the clone is at the project's path, and the checkout is beside it, read-only
    assert one.sh("pwd; git branch --show-current; cat a.txt .env; git remote") == (
        f"{project}\none\none\nKEY=1\nhost\n"
    )
    assert one.run("touch", "/mnt/project/x").returncode != 0
    assert one.run("sudo", "sh", "-c", "mount -o remount,bind,rw /mnt/project; echo x > /mnt/project/x").returncode == 0
    assert not (project / "x").exists()
    one.sh(f"{IDENTITY}; echo from-one > a.txt; git commit -qam 'work of one'; echo new > new.txt")

    again = ccvm_tui("run", "--detach", "--shell", "--attempt", "one", str(project), within=120)
    assert again.stdout.decode().strip() == f"{one.name}/s2", again.stderr.decode()

    two = start(project, "--attempt", "two")
    two.sh(f"{IDENTITY}; echo from-two > a.txt; git commit -qam 'work of two'")

    fetched = ccvm_tui("fetch", "one", within=120)
    assert fetched.returncode == 0, fetched.stderr.decode()
    assert git(project, "log", "--format=%s %an", "-1", "ccvm/one/one") == "work of one Agent"
    assert git(project, "fsck", "--strict") == ""
    assert (git(project, "status", "--porcelain"), git(project, "branch", "--show-current")) == (before, "main")

    compared = json.loads(ccvm_tui("compare", "one", "two", "--json", within=120).stdout)
    assert {file["path"]: file["same"] for file in compared["files"]} == {"a.txt": False, "new.txt": False}

    # a commit of the host is seen in the guest at once, and merged there
    commit(project, "host", host="h")
    two.sh("git fetch -q host && git merge -q -m merged host/main -X ours && cat host")

    refused = ccvm_tui("stop", "two", within=120)
    assert (refused.returncode, b"were not fetched" in refused.stderr) == (1, True), refused.stderr.decode()
    assert ccvm_tui("fetch", "two", within=120).returncode == 0
    assert ccvm_tui("stop", "two", within=120).returncode == 0

    write(project, **{"a.txt": "one\n"})
    git(project, "checkout", "-q", "HEAD", "--", "a.txt")
    applied = ccvm_tui("apply", "one", "new.txt", within=120)
    assert applied.returncode == 0, applied.stderr.decode()
    assert (project / "new.txt").read_text() == "new\n"
    assert ccvm_tui("stop", "--yes", "one", within=120).returncode == 0
