"""The guard of the file server: programs that a guest plants never run on the host, and ordinary work is not blocked."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ccvm_tui.guard.report import KEPT_MAX, Report
from ccvm_tui.share.guarded import CAPTURED_MAX, GuardedTree
from ccvm_tui.share.host import HostTree
from tests.share.attacks import ATTACKS, Attack, Guest, a_mapped_configuration
from tests.share.client import Client
from tests.share.git_user import Host


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


Serve = Callable[[str], Guest]


@pytest.fixture
def reports() -> list[Report]:
    """The reports of the guard."""
    return []


@pytest.fixture
def serve(host: Host, reports: list[Report]) -> Iterator[Serve]:
    """``serve("block")`` serves the project with this setting."""
    clients = []

    def start(guard: str) -> Guest:
        def unwatched(*_: object) -> None:
            pass

        path = str(host.project)
        if guard == "off":
            tree = HostTree(path, 8, unwatched, unwatched)
        else:
            tree = GuardedTree(path, 8, unwatched, unwatched, blocking=guard == "block", report=reports.append)
        clients.append(Client(tree))
        return Guest(clients[-1], os.fsencode(host.program))

    yield start
    for client in clients:
        client.close()


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
@pytest.mark.attack
def test_a_planted_program_never_runs(attack: Attack, serve: Serve, host: Host, reports: list[Report]) -> None:
    guest = serve("block")
    attack(guest)
    host.work()
    assert not host.mark.exists()
    assert guest.refused
    unsupported = any(error.errno == errno.EOPNOTSUPP for error in guest.refused)  # the guest's kernel writes instead
    assert unsupported or any(report.blocked for report in reports)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_without_the_guard_the_attack_succeeds(attack: Attack, serve: Serve, host: Host) -> None:
    """The attacks of the test above are real."""
    guest = serve("off")
    attack(guest)
    host.work()
    assert host.mark.exists()
    assert not guest.refused


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_with_warnings_only_the_change_is_made_and_reported(
    attack: Attack, serve: Serve, reports: list[Report]
) -> None:
    guest = serve("warn")
    attack(guest)
    assert not guest.refused
    assert reports
    assert not any(report.blocked for report in reports)


# --- what is left alone ---------------------------------------------------------------------------------------------


@pytest.fixture
def guest(serve: Serve) -> Guest:
    """The guest of a guarded project."""
    return serve("block")


def test_harmless_configuration_passes(guest: Guest, host: Host, reports: list[Report]) -> None:
    text = guest.get(b".git/config") + b'[branch "x"]\n\tremote = origin\n\tmerge = refs/heads/x\n'
    guest.put(b".git/config.lock", text)
    guest.rename(b".git/config.lock", b".git/config")
    guest.put(b".git/config", text + b"[user]\n\tname = Me\n", flags=0)
    guest.put(b".git/config", text, flags=os.O_TRUNC)
    assert (host.project / ".git/config").read_bytes() == text
    assert not guest.refused
    assert not reports


def test_the_users_own_entries_survive_changes_by_the_guest(guest: Guest, host: Host, reports: list[Report]) -> None:
    host.git("config", "alias.x", "!true")
    text = guest.get(b".git/config")
    guest.put(b".git/config.lock", text + b"[user]\n\tname = Me\n")
    guest.rename(b".git/config.lock", b".git/config")
    host.git("config", "core.editor", "vi")
    mine = guest.get(b".git/config")
    guest.put(b".git/config", mine + b"# comment\n", flags=os.O_TRUNC)
    guest.rename(b".git/config", b".git/config~")
    guest.put(b".git/config", mine)
    assert (host.git("config", "alias.x").stdout, host.git("config", "core.editor").stdout) == ("!true\n", "vi\n")
    assert not guest.refused
    assert not reports


def test_the_users_hooks_survive_moves_of_the_repository(guest: Guest, host: Host, reports: list[Report]) -> None:
    for other in (b".saved", b"sub"):
        guest.rename(b".git", other)
        guest.rename(other, b".git")
    guest.rename(b".git/hooks/pre-commit", b"hook")
    guest.rename(b"hook", b".git/hooks/pre-commit")
    guest.rename(b".git/HEAD", b"HEAD")
    guest.rename(b".git", b"other")
    guest.rename(b"other", b".git")
    guest.rename(b"HEAD", b".git/HEAD")
    assert (host.project / ".git/hooks/pre-commit").read_text() == "#!/bin/sh\nexit 0\n"
    assert not guest.refused
    assert not reports


def test_a_hook_is_disabled_and_enabled_again(guest: Guest, reports: list[Report]) -> None:
    guest.chmod(b".git/hooks/pre-commit", 0o644)
    guest.chmod(b".git/hooks/pre-commit", 0o755)
    assert not guest.refused
    assert not reports


def test_samples_of_hooks_pass(guest: Guest, host: Host, reports: list[Report]) -> None:
    guest.put(b".git/hooks/x.sample", guest.script, 0o755)
    guest.rename(b".git/hooks/x.sample", b".git/hooks/y.sample")
    guest.chmod(b".git/hooks/y.sample", 0o755)
    assert (host.project / ".git/hooks/y.sample").read_bytes() == guest.script
    assert not guest.refused
    assert not reports


def test_files_of_the_same_names_elsewhere_pass(guest: Guest, reports: list[Report]) -> None:
    guest.mkdir(b"hooks", b"d", b"d/objects", b"worktrees")
    for path in (b"config", b"hooks/pre-commit", b"commondir", b"d/config", b"d/HEAD", b"worktrees/x"):
        guest.put(path, guest.evil)
    guest.symlink(b"hooks", b"refs")
    guest.link(b"config", b"d/alternates")
    assert not guest.refused
    assert not reports


# --- reports --------------------------------------------------------------------------------------------------------


def test_the_content_of_a_blocked_hook_is_reported(guest: Guest, host: Host, reports: list[Report]) -> None:
    guest.put(b".git/hooks/pre-push", guest.script, 0o755)
    (report,) = reports
    assert (report.path, report.check, report.content) == (".git/hooks/pre-push", "hook", guest.script)
    assert report.complete
    assert report.executable
    assert not (host.project / ".git/hooks/pre-push").exists()
    assert guest.client.lookup(guest.client.find(b".git/hooks").node, b"pre-push") is None


def test_blocked_hooks_are_limited_in_number_and_size(guest: Guest, host: Host, reports: list[Report]) -> None:
    opened = [guest.client.open(b".git/hooks/%d" % n, os.O_WRONLY | os.O_CREAT) for n in range(CAPTURED_MAX)]
    with pytest.raises(PermissionError):
        guest.client.open(b".git/hooks/more", os.O_WRONLY | os.O_CREAT)
    with pytest.raises(OSError, match="large"):
        guest.client.write(*opened[0], b"x", 1 << 40)
    with pytest.raises(OSError, match="large"):
        guest.client.set(opened[0][0], size=1 << 40)
    guest.client.write(*opened[0], b"x" * 500_000, 0)
    for node, handle in opened:
        with pytest.raises(PermissionError):
            guest.client.release(node, handle)
    assert max(len(report.content) for report in reports) == KEPT_MAX
    guest.put(b".git/hooks/again", b"x")
    assert reports[-1].path == ".git/hooks/again"
    assert not [path for path in (host.project / ".git/hooks").iterdir() if path.name.startswith(("again", "0", "1"))]


def test_an_allowed_problem_is_accepted(serve: Serve, host: Host, reports: list[Report]) -> None:
    guest = serve("block")
    guest.put(b".git/config.lock", guest.evil)
    guest.rename(b".git/config.lock", b".git/config")
    (report,) = reports
    guest.client.tree.trust(report.path, report.problems)
    guest.rename(b".git/config.lock", b".git/config")
    assert (host.project / ".git/config").read_bytes() == guest.evil
    assert len(reports) == 1


@pytest.mark.parametrize(
    "path", [b".envrc", b"sub/.envrc", b".vscode/tasks.json", b".idea/workspace.xml", b".husky/pre-commit", b".mise.toml",
             b".pre-commit-config.yaml", b".claude/settings.json", b".devcontainer/devcontainer.json"],
)  # fmt: skip
def test_files_of_other_tools_are_reported_when_they_change(guest: Guest, path: bytes, reports: list[Report]) -> None:
    if b"/" in path:
        guest.mkdir(path.rpartition(b"/")[0])
    guest.put(path, b"one")
    guest.put(path, b"one")
    guest.unlink(path)
    guest.put(path, b"one")
    guest.put(b"x", b"one")
    guest.rename(b"x", path)
    assert [(report.path, report.blocked) for report in reports] == [(path.decode(), False)]
    guest.put(b"x", b"two")
    guest.rename(b"x", path)
    guest.put(path, b"three")
    guest.symlink(b"elsewhere", b"y")
    guest.rename(b"y", path)
    assert len(reports) == 4
    assert not guest.refused


def test_build_files_are_not_reported(guest: Guest, reports: list[Report]) -> None:
    for path in (b"Makefile", b"package.json", b"setup.py", b".gitattributes", b".gitmodules", b".gitignore"):
        guest.put(path, b"one")
    assert not reports


def test_a_rebase_with_commands_is_reported(guest: Guest, reports: list[Report]) -> None:
    guest.mkdir(b".git/rebase-merge")
    guest.put(b".git/rebase-merge/git-rebase-todo", b"pick 1234567 one\n")
    assert not reports
    guest.put(b".git/rebase-merge/git-rebase-todo", b"pick 1234567 one\nexec make\n")
    assert [report.problems for report in reports] == [("exec make",)]
    assert not guest.refused


@pytest.mark.parametrize(
    ("content", "refused"),
    [
        (b"/elsewhere/objects\n", True), (b"../../../elsewhere\n", True), (b"../../sub/objects\n", False),
        (b'"/elsewhere"\n', True), (b"# comment\n", False),
    ],
)  # fmt: skip
def test_alternates_must_be_in_the_project(guest: Guest, content: bytes, refused: bool) -> None:
    guest.put(b".git/objects/info/alternates", content)
    assert bool(guest.refused) is refused


@pytest.mark.parametrize(
    ("target", "refused"),
    [
        (b"../.git/worktrees/x", False), (b"../.git/modules/a/b", False), (b"../../elsewhere/.git/modules/x", True),
        (b"/elsewhere", True), (b"../evil", True), (b"../.git/worktrees/x/y", True), (b"../.git", False),
    ],
)  # fmt: skip
def test_a_git_file_leads_to_a_repository_of_the_project(guest: Guest, target: bytes, refused: bool) -> None:
    guest.mkdir(b"sub")
    guest.put(b"sub/.git", b"gitdir: " + target + b"\n")
    assert bool(guest.refused) is refused


@pytest.mark.parametrize(("value", "refused"), [(b"../../../sub", False), (b"../../../..", True), (b"/", True)])
def test_the_worktree_of_a_submodule_is_in_the_project(guest: Guest, host: Host, value: bytes, refused: bool) -> None:
    host.remove_hooks()
    guest.copy(b".git", b"x")
    guest.mkdir(b".git/modules")
    guest.rename(b"x", b".git/modules/sub")
    guest.put(b".git/modules/sub/config", guest.harmless + b"\tworktree = " + value + b"\n")
    assert bool(guest.refused) is refused


def test_a_submodule_is_not_moved_so_that_its_worktree_leaves_the_project(guest: Guest, host: Host) -> None:
    host.remove_hooks()
    guest.copy(b".git", b"x")
    guest.mkdir(b".git/modules", b"a")
    guest.rename(b"x", b".git/modules/sub")
    guest.put(b".git/modules/sub/config", guest.harmless + b"\tworktree = ../../../sub\n")
    assert not guest.refused
    guest.rename(b".git/modules/sub", b"a/b")
    assert guest.refused


def test_directories_with_too_many_files_do_not_become_hooks(guest: Guest) -> None:
    guest.mkdir(b"many")
    for number in range(5100):
        guest.put(b"many/%d.sample" % number, b"")
    guest.rename(b".git/hooks", b"old")
    assert not guest.refused
    guest.rename(b"many", b".git/hooks")
    assert guest.refused


def test_files_that_are_written_through_mappings_do_not_become_parts_of_a_repository(guest: Guest) -> None:
    a_mapped_configuration(guest)
    assert errno.EBUSY in [error.errno for error in guest.refused]


# --- random changes ---------------------------------------------------------------------------------------------------

PLACES = st.sampled_from((b".git", b".git", b"x", b"sub", b"sub/.git", b"sub/x", b".git/modules/m", b"y"))
PARTS = st.sampled_from(
    (
        b"HEAD",
        b"commondir",
        b"config",
        b"hooks",
        b"hooks/post-checkout",
        b"objects",
        b"refs",
        b"config.worktree",
        b"info",
    )
)
GIT_FILES = st.sampled_from((b"gitdir: x\n", b"gitdir: ../x\n", b"gitdir: ../.git/modules/m\n", b"gitdir: ../y\n"))
WRITING = st.sampled_from((0, os.O_TRUNC, os.O_APPEND))
LINKS = st.sampled_from((b"x", b"../x", b"refs/heads/main", b"../../x", b"../y"))


def random_change(draw: Callable[..., Any], guest: Guest) -> None:
    """Make one change that attacks consist of."""
    place, other, part = draw(PLACES), draw(PLACES), draw(PARTS)
    evil = draw(st.sampled_from((guest.evil, guest.evil + b"\tworktree = ..\n", guest.harmless)))
    match draw(st.integers(0, 13)):
        case 0 | 1:
            if place != b".git" and not place.startswith(b".git"):
                with guest.trying():
                    guest.copy(b".git", place)
        case 2 | 3:
            guest.rename(place, other, draw(st.sampled_from((0, 0, 2))))
        case 4:
            guest.rename(place + b"/" + part, draw(st.sampled_from((other + b"/" + part, b"kept"))))
        case 5:
            guest.rename(b"kept", other + b"/" + part)
        case 6 | 7:
            guest.put(place + b"/config", evil, 0o644, draw(WRITING))
        case 8:
            guest.put(place + b"/hooks/post-checkout", guest.script, 0o755, draw(WRITING))
        case 9:
            guest.put(place + b"/HEAD", b"ref: refs/heads/main\n")
        case 10:
            guest.put(place + b"/commondir", draw(st.sampled_from((b"../x\n", b"../y\n", b"../.git\n", b"../..\n"))))
        case 11:
            guest.unlink(place + b"/" + part)
            guest.mkdir(draw(st.sampled_from((place, place + b"/" + part))))
        case 12:
            guest.put(b"sub/.git", draw(GIT_FILES))
            guest.symlink(draw(LINKS), draw(st.sampled_from((place, place + b"/" + part))))
        case 13:
            guest.put(b"t", draw(st.sampled_from((evil, guest.script))), 0o755)
            guest.link(b"t", draw(st.sampled_from((b"t2", place + b"/" + part))))
            guest.rename(b"t", other + b"/" + part, draw(st.sampled_from((0, 2))))
            guest.put(b"t2", guest.evil)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a user's repository, to be copied."""
    root = tmp_path_factory.mktemp("template")
    Host(root)
    return root


@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_changes_run_no_program(data: st.DataObject, template: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="ccvm-g") as directory:
        root = Path(directory, "root")
        shutil.copytree(template, root, symlinks=True)
        host = Host(root, copied=True)
        tree = GuardedTree(str(host.project), 8, lambda *_: None, lambda _: None, blocking=True, report=lambda _: None)
        client = Client(tree)
        guest = Guest(client, os.fsencode(host.program))
        for _ in range(data.draw(st.integers(1, 15))):
            random_change(data.draw, guest)
        client.close()
        host.work()
        assert not host.mark.exists()
