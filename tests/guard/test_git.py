"""The commands with which the program runs Git: nothing that a guest can write into a repository is run."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import ccvm_tui
from ccvm_tui.errors import UserError
from ccvm_tui.guard.git import Command, command, repository

SOURCES = Path(ccvm_tui.__file__).parent
RUNS_GIT = re.compile(r"""[\[(,]\s*[fr]?["'](?:/usr/bin/)?git["']\s*,|["'](?:sh -c )?git [a-z-]+ """)


def run(made: Command) -> str:
    done = subprocess.run(
        made.argv, env=made.environment, cwd=made.directory, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    return done.stdout


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository with a commit, a changed file, a new file, and poison in every place."""
    path, program, mark = tmp_path / "project", tmp_path / "program", tmp_path / "mark"
    program.write_text(f"#!/bin/sh\ntouch {mark}\ncat\n")
    program.chmod(0o755)
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1",
        **{f"GIT_{who}_{what}": "me@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    }  # fmt: skip

    def git(*argv: str) -> None:
        subprocess.run(["git", *argv], cwd=path, env=environment, check=True, capture_output=True)

    path.mkdir()
    git("init", "-q", "-b", "main")
    (path / "a.txt").write_text("one\n")
    (path / ".gitattributes").write_text("* filter=evil diff=evil merge=evil\n")
    git("add", "-A")
    git("commit", "-qm", "one")
    git("clone", "-q", ".", "lib")
    git("-c", "protocol.file.allow=always", "submodule", "add", "-q", "./lib")
    (path / ".gitmodules").write_text((path / ".gitmodules").read_text() + "\tignore = none\n")
    git("add", ".gitmodules")
    git("commit", "-qm", "two")
    poison = (
        f"[core]\n\tfsmonitor = {program}\n\tpager = {program}\n\teditor = {program}\n\thooksPath = {tmp_path}\n"
        f"\tsshCommand = {program}\n\talternateRefsCommand = {program}\n"
        f'[diff]\n\texternal = {program}\n[diff "evil"]\n\ttextconv = {program}\n\tcommand = {program}\n'
        f'[filter "evil"]\n\tclean = {program}\n\tsmudge = {program}\n\tprocess = {program}\n\trequired\n'
        f'[merge "evil"]\n\tdriver = {program}\n[alias]\n\tx = !{program}\n[include]\n\tpath = {tmp_path}/more\n'
    )
    (tmp_path / "more").write_text(f"[credential]\n\thelper = {program}\n")
    for config in (path / ".git/config", path / "lib/.git/config"):
        with config.open("a") as file:
            file.write(poison)
    for name in ("post-checkout", "pre-commit", "post-index-change", "reference-transaction", "fsmonitor-watchman"):
        (path / ".git/hooks" / name).write_bytes(program.read_bytes())
        (path / ".git/hooks" / name).chmod(0o755)
    (path / ".git/info/attributes").write_text("* diff=evil\n")
    (path / "a.txt").write_text("two\n")
    (path / "lib/a.txt").write_text("two\n")
    (path / "new.txt").write_text("new\n")
    return path


READ: tuple[tuple[tuple[str, ...], str], ...] = (
    (("status", "--porcelain"), " M a.txt\n"),
    (("diff",), "+two\n"),
    (("diff", "HEAD", "--stat"), "a.txt"),
    (("log", "-p", "--format=%s"), "two\n"),
    (("diff", "--text", "HEAD~1", "HEAD"), "lib"),
    (("rev-parse", "HEAD"), ""),
    (("for-each-ref",), "refs/heads/main"),
    (("ls-files", "--others"), "new.txt\n"),
    (("show", "HEAD:a.txt"), "one\n"),
    (("grep", "two", "--", "a.txt"), "a.txt:two\n"),
)


@pytest.mark.parametrize(("argv", "expected"), READ)
@pytest.mark.attack
def test_no_program_of_the_repository_runs(project: Path, argv: tuple[str, ...], expected: str) -> None:
    before = (project / ".git/index").read_bytes()
    with repository(str(project)) as opened:
        assert expected in run(opened.command(*argv))
    assert not (project.parent / "mark").exists()
    assert (project / ".git/index").read_bytes() == before


def test_the_poison_works_on_its_own(project: Path) -> None:
    subprocess.run(["git", "status"], cwd=project, check=False, capture_output=True)
    assert (project.parent / "mark").exists()


def _is_file(project: Path) -> None:
    (project / ".git").rename(project / "elsewhere")
    (project / ".git").write_text("gitdir: elsewhere\n")


def _is_link(project: Path) -> None:
    (project / ".git").rename(project / "elsewhere")
    (project / ".git").symlink_to("elsewhere")


def _borrows(project: Path) -> None:
    (project / ".git/objects/info/alternates").write_text("/elsewhere\n")


def _has_reftable(project: Path) -> None:
    (project / ".git/config").write_text("[extensions]\n\trefstorage = reftable\n")


def _is_missing(project: Path) -> None:
    (project / ".git").rename(project / "elsewhere")


@pytest.mark.parametrize("change", [_is_file, _is_link, _borrows, _has_reftable, _is_missing])
def test_other_repositories_are_refused(project: Path, change: Callable[[Path], None]) -> None:
    change(project)
    with pytest.raises(UserError), repository(str(project)):
        pass


def test_links_in_the_repository_are_not_followed(project: Path) -> None:
    secret = project.parent / "secret"
    secret.write_text("1" * 40 + "\n")
    (project / ".git/refs/heads/linked").symlink_to(secret)
    with repository(str(project)) as opened:
        assert "linked" not in run(opened.command("for-each-ref"))


def test_a_command_outside_of_a_repository_reads_no_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".gitconfig").write_text("[user]\n\tname = Me\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_DIR", str(tmp_path))
    made = command("config", "--list", home=str(tmp_path))
    assert run(made) == ""
    assert made.directory == "/"


def test_nothing_else_runs_git() -> None:
    found = [
        f"{path.relative_to(SOURCES)}: {line.strip()}"
        for path in sorted(SOURCES.rglob("*.py"))
        if path.relative_to(SOURCES).parts[:2] not in (("guard", "git.py"), ("image", "guest"))
        for line in path.read_text().splitlines()
        if RUNS_GIT.search(line) and not line.lstrip().startswith(("#", '"""'))
    ]
    assert not found
