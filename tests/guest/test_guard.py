"""The guard in a real guest: Git works as usual, and what the host would run is not there."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from ccvm_tui.image import Image
from tests.guest.conftest import HomeOf, RealGuest, at_home, ccvm_tui
from tests.waiting import wait_until

pytestmark = pytest.mark.unmeasured

SETUP = "git config --global user.name Me; git config --global user.email me@example.org; export GIT_EDITOR=true"


@pytest.fixture
def guarded(home_of: HomeOf, image: Image, monkeypatch: pytest.MonkeyPatch) -> RealGuest:  # noqa: ARG001 - it must exist
    """A guest for these tests, whose project is a repository with a commit."""
    guest = at_home(home_of("guard"), "project", monkeypatch)
    if not (guest.project / ".git").exists():
        git(guest, "init", "-q", "-b", "main")
        git(guest, "add", "-A")
        git(guest, "commit", "-qm", "one")
    return guest


def git(guest: RealGuest, *argv: str, place: str = ".") -> str:
    """Run Git on the host as the user does, in the guest's project."""
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(guest.project.parent), "GIT_CONFIG_NOSYSTEM": "1",
        **{f"GIT_{who}_{what}": "me@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    }  # fmt: skip
    return subprocess.run(
        ["git", *argv], cwd=guest.project / place, env=environment, check=True, capture_output=True, text=True
    ).stdout


def items(guest: RealGuest) -> list[dict[str, object]]:
    """Return what the guard has reported."""
    listed: list[dict[str, object]] = json.loads(ccvm_tui("guard", guest.name, "--json").stdout)["items"]
    return listed


def item_of(guest: RealGuest, path: str) -> dict[str, object]:
    """Wait for an item about a file and return the newest."""
    wait_until(lambda: any(item["path"] == path for item in items(guest)), lambda: f"no item about {path}")
    return [item for item in items(guest) if item["path"] == path][-1]


@pytest.mark.attack
def test_planted_programs_do_not_run_on_the_host(guarded: RealGuest) -> None:
    mark, program = guarded.project.parent / "mark", guarded.project / "program"
    program.write_text(f"#!/bin/sh\ntouch {mark}\n")
    program.chmod(0o755)
    script = f"""
        cp program .git/hooks/post-checkout && echo created
        mv program .git/hooks/pre-commit && echo moved
        git config core.fsmonitor "$PWD/program" && echo configured
        git config core.hooksPath "$PWD" && echo configured
        printf '[core]\\n\\tfsmonitor = {program}\\n' >> .git/config && echo appended
        true
    """
    refused = guarded.run("sh", "-c", script)
    assert refused.stdout == b"", refused
    for argv in (
        ("status",),
        ("diff",),
        ("log", "-1"),
        ("commit", "--allow-empty", "-qm", "two"),
        ("checkout", "-q", "-b", "b"),
    ):
        git(guarded, *argv)
    assert not mark.exists()
    assert git(guarded, "config", "--local", "--name-only", "--list").split() == [
        "core.repositoryformatversion", "core.filemode", "core.bare", "core.logallrefupdates",
    ]  # fmt: skip
    assert not list((guarded.project / ".git/hooks").glob("[!.]*[!e]"))  # samples only
    assert item_of(guarded, ".git/hooks/post-checkout")["state"] == "blocked"
    item_of(guarded, ".git/config")
    assert "core.fsmonitor = " in str(items(guarded))
    assert "core.hookspath = " in str(items(guarded))
    git(guarded, "checkout", "-q", "main")


def test_the_guard_is_shown_and_an_item_is_allowed(guarded: RealGuest) -> None:
    guarded.run("sh", "-c", "printf '#!/bin/sh\\nexit 0\\n' > x; mv x .git/hooks/pre-push; true")
    item = item_of(guarded, ".git/hooks/pre-push")
    shown = ccvm_tui("guard", guarded.name, "--show", str(item["id"])).stdout.decode()
    assert "#!/bin/sh\nexit 0\n" in shown
    assert ".git/hooks/pre-push" in ccvm_tui("guard", guarded.name).stdout.decode()
    events = ccvm_tui("logs", guarded.name).stdout.decode()
    assert f"ccvm-tui guard {guarded.name}" in events
    allowed = ccvm_tui("guard", guarded.name, "--allow", str(item["id"]))
    assert allowed.returncode == 0, allowed.stderr
    hook = guarded.project / ".git/hooks/pre-push"
    assert hook.read_text() == "#!/bin/sh\nexit 0\n"
    assert hook.stat().st_mode & 0o111
    assert item_of(guarded, ".git/hooks/pre-push")["state"] == "allowed"
    guarded.sh("test -x .git/hooks/pre-push && mv .git/hooks/pre-push y && mv y .git/hooks/pre-push")


def test_git_works_as_usual_in_the_guest(guarded: RealGuest) -> None:
    before = len(items(guarded))
    guarded.sh(
        SETUP
        + r"""
        echo a > a; git add a; git commit -qm a; git checkout -q -b topic; echo b > b; git add b; git commit -qm b
        git checkout -q main; echo c > c; git add c; git commit -qm c; git checkout -q topic; git rebase -q main
        git rebase -q -i HEAD~2; git commit -q --amend -m b2; git stash list; git tag v1; git gc -q
        git branch -q --set-upstream-to=main; git remote add origin https://example.org/x.git; git remote rename origin o
        git config user.name Other; git config --unset user.name; git branch -m topic other; git branch -D -q main
        git worktree add -q wt; (cd wt; echo d > d; git add d; git commit -qm d; git status -s)
        git worktree add -q --detach "$PWD/wt2"; git worktree remove wt2
        git init -q sub; (cd sub; echo e > e; git add e; git commit -qm e)
        git clone -q . clone; (cd clone; git checkout -q -b x; git fetch -q)
        git clone -q --bare . bare.git; git clone -q --shared . shared; git -C shared fsck
        git -c protocol.file.allow=always submodule add -q ./sub lib; git commit -qm lib
        git -C lib status -s; git submodule deinit -q -f lib
        git -c protocol.file.allow=always submodule update -q --init lib
        git sparse-checkout set --skip-checks lib; git sparse-checkout disable
        mv .git .saved; mv .saved .git; git status -s; mv clone moved; git -C moved status -s
        git rebase -q --exec true HEAD~1; git bisect start; git bisect reset; git maintenance run --auto
        """,
        within=300,
    )
    blocked = [item for item in items(guarded)[before:] if item["state"] == "blocked"]
    assert not blocked
    git(guarded, "fsck")
    git(guarded, "status", place="lib")


def test_files_of_other_tools_are_noticed(guarded: RealGuest) -> None:
    guarded.sh("echo 'export X=1' > .envrc; mkdir .vscode; echo '{}' > .vscode/tasks.json; echo 'all:' > Makefile")
    assert item_of(guarded, ".envrc")["state"] == "noticed"
    assert item_of(guarded, ".vscode/tasks.json")["state"] == "noticed"
    assert "Makefile" not in [item["path"] for item in items(guarded)]
    assert (guarded.project / ".envrc").read_text() == "export X=1\n"
