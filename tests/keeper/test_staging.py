"""The files of the user's configuration for a guest, read from real directories."""

from __future__ import annotations

import json
import os
import socket
import stat
import tempfile
from pathlib import Path
from typing import Any

import pytest

from ccvm_tui.boot.sharing import sharing
from ccvm_tui.config import resolve
from ccvm_tui.errors import UserError
from ccvm_tui.keeper.staging import GuestFile, Staged, history_directory, stage
from ccvm_tui.keeper.tree import DEPTH_MAX, FILE_MAX, FILES_MAX
from ccvm_tui.project.history import History

SECRET = "hunter2mark"


class User:
    """A user with a home directory, and what crosses into a guest of theirs."""

    def __init__(self, root: Path) -> None:
        self.home = root / "me"
        self.claude = self.home / ".claude"
        self.claude.mkdir(parents=True)
        self.project = self.home / "src" / "app"
        self.project.mkdir(parents=True)
        self.config = root / "config.toml"
        self.staged = Staged()

    def stage(self, settings: str = "", **variables: str) -> dict[str, GuestFile]:
        """Return the files that cross, by path, with ``settings`` as the configuration file."""
        self.config.write_text(f'extra_claude_md = ""\n{settings}')
        environ = {"HOME": str(self.home), **variables}
        chosen = resolve(self.project, environ, config=self.config).settings
        before = self._state()
        self.staged = stage(sharing(str(self.project), chosen, environ), str(self.project))
        assert self._state() == before  # nothing is written on the host
        files: dict[str, GuestFile] = {}
        for file in self.staged.files:
            files.setdefault(file.path, file)
        return files

    def _state(self) -> list[tuple[str, int]]:
        return sorted((str(path), path.lstat().st_mtime_ns) for path in self.home.parent.rglob("*"))

    @property
    def warnings(self) -> list[str]:
        return self.staged.warnings

    def write(self, path: str, data: str | bytes = "x", mode: int = 0o644) -> Path:
        file = self.home / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data.encode() if isinstance(data, str) else data)
        file.chmod(mode)
        return file


HOOKS_ONLY = {".claude/settings.json"}
"""The file that every guest with Claude Code has."""


@pytest.fixture
def user(home: Path) -> User:
    return User(home)


def everything(files: dict[str, GuestFile]) -> bytes:
    return b"".join(file.data for file in files.values())


def test_the_items_of_the_table_cross(user: User) -> None:
    for name in ("CLAUDE.md", "keybindings.json", "commands/a/b.md", "agents/x.md", "skills/s/SKILL.md"):
        user.write(f".claude/{name}", name)
    user.write(".claude/output-styles/o.md")
    user.write(".claude/plugins/p.md")
    user.write(".claude/config/c.json")
    user.write(".claude/projects/-x/history.jsonl", SECRET)
    user.write(".claude/sessions/1.json", SECRET)
    user.write(".claude/history.jsonl", SECRET)
    user.write(".claude/.credentials.json", SECRET)
    user.write(".claude/unknown.json", SECRET)
    files = user.stage()
    expected = {
        *("CLAUDE.md", "keybindings.json", "commands/a/b.md", "agents/x.md", "skills/s/SKILL.md", "output-styles/o.md"),
        "settings.json",
    }
    assert set(files) == {f".claude/{name}" for name in expected}
    assert files[".claude/skills/s/SKILL.md"].data == b"skills/s/SKILL.md"
    assert user.warnings == []
    files = user.stage("[share]\nplugins = true\nconfig = true\nagents = false\n")
    expected = expected - {"agents/x.md"} | {"plugins/p.md", "config/c.json"}
    assert set(files) == {f".claude/{name}" for name in expected}
    assert SECRET.encode() not in everything(files)


def test_a_single_variable_turns_everything_off_but_git(user: User) -> None:
    user.write(".claude/CLAUDE.md")
    user.write(".claude.json", "{}")
    user.write(".gitconfig", "[user]\nname = Me\n")
    assert set(user.stage(CCVM_SHARE_CLAUDE_CONFIG="0")) == HOOKS_ONLY | {".config/git/config"}
    assert set(user.stage(CCVM_SHARE_CLAUDE_CONFIG="0", CCVM_SHARE_CLAUDEMD="1", CCVM_SHARE_GIT_CONFIG="0")) == {
        *HOOKS_ONLY,
        ".claude/CLAUDE.md",
    }


def test_the_configuration_directory_of_the_environment_is_used(user: User) -> None:
    user.write(".claude/CLAUDE.md", "unused")
    user.write(".claude.json", '{"theme": "unused"}')
    user.write("own/CLAUDE.md", "used")
    user.write("own/.claude.json", '{"theme": "used"}')
    files = user.stage(CLAUDE_CONFIG_DIR=str(user.home / "own"))
    assert files[".claude/CLAUDE.md"].data == b"used"
    assert json.loads(files[".claude.json"].data) == {"theme": "used"}


def test_secrets_are_removed_from_the_files(user: User) -> None:
    user.write(".claude/settings.json", json.dumps({"model": "opus", "env": {"ANTHROPIC_API_KEY": SECRET, "A": "b"}}))
    server = {"command": "x", "env": {"A": SECRET}, "headers": {"B": SECRET}}
    state: dict[str, Any] = {"primaryApiKey": SECRET, "mcpServers": {"m": server}, "hasCompletedOnboarding": True}
    state["projects"] = {str(user.project): {"hasTrustDialogAccepted": True, "mcpServers": {"n": server}}}
    user.write(".claude.json", json.dumps(state))
    user.write(".claude/skills/s/.mcp.json", json.dumps({"mcpServers": {"m": server}}))
    files = user.stage()
    assert SECRET.encode() not in everything(files)
    settings = json.loads(files[".claude/settings.json"].data)
    assert (settings["model"], settings["env"]) == ("opus", {"A": "b"})
    assert json.loads(files[".claude.json"].data) == {
        "mcpServers": {"m": {"command": "x"}},
        "hasCompletedOnboarding": True,
        "projects": {str(user.project): {"hasTrustDialogAccepted": True, "mcpServers": {"n": {"command": "x"}}}},
    }
    assert json.loads(files[".claude/skills/s/.mcp.json"].data) == {"mcpServers": {"m": {"command": "x"}}}


def test_invalid_files_do_not_cross_and_are_reported(user: User) -> None:
    user.write(".claude.json", '{"primaryApiKey": "' + SECRET)
    user.write(".claude/settings.json", "[]")
    files = user.stage()
    assert ".claude.json" not in files
    assert set(json.loads(files[".claude/settings.json"].data)) == {"hooks"}
    assert user.warnings == [
        f"{user.claude}/settings.json is not in the guest: it is not an object",
        f"{user.home}/.claude.json is not in the guest: it is not JSON: Unterminated string starting at: "
        "line 1 column 19 (char 18)",
    ]


def test_credentials_and_history_are_removed_at_any_depth(user: User) -> None:
    for name in (".credentials.json", ".env", "auth.json", "a/b/.credentials.json", ".git/config", "history.jsonl"):
        user.write(f".claude/skills/s/{name}", SECRET)
    user.write(".claude/skills/plain/projects/plan.md", "a directory of the skill")
    user.write(".claude/skills/backup/.credentials.json", SECRET)
    user.write(".claude/skills/backup/projects/x.jsonl", SECRET)
    (user.claude / "skills/link").symlink_to(user.write(".claude/.credentials.json", SECRET))
    (user.claude / "skills/all").symlink_to(user.claude)
    (user.claude / "skills/old").symlink_to(user.claude / "projects")
    user.write(".claude/projects/x.jsonl", SECRET)
    files = user.stage()
    assert ".claude/skills/plain/projects/plan.md" in files
    assert SECRET.encode() not in everything(files)
    assert ".claude/skills/link" not in files
    assert f"{user.claude}/skills/link is not in the guest: files with credentials never cross" in user.warnings
    assert f"{user.claude}/skills/old is not in the guest: {user.claude}/projects never crosses" in user.warnings


def test_links_of_home_manager_are_dereferenced(user: User) -> None:
    store = user.write("store/settings.json", '{"model": "opus"}', 0o444)
    (user.claude / "settings.json").symlink_to(store)
    user.write("store/agents/x.md", "x", 0o444)
    (user.claude / "agents").symlink_to(user.home / "store/agents")
    user.write("store/cmd.sh", "#!/bin/sh", 0o555)
    (user.claude / "commands").mkdir()
    (user.claude / "commands/cmd.sh").symlink_to(user.home / "store/cmd.sh")
    files = user.stage()
    assert json.loads(files[".claude/settings.json"].data)["model"] == "opus"
    assert (files[".claude/agents/x.md"].data, files[".claude/agents/x.md"].mode) == (b"x", 0o644)
    assert files[".claude/commands/cmd.sh"].mode == 0o755
    assert user.warnings == []


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.attack
def test_a_link_that_a_guest_could_have_created_is_not_followed(user: User, known: bool) -> None:
    """The user's skills are in a project. A guest of it, or of another project, can write there."""
    project = user.home / "other" if known else user.project
    if known:
        History().remember(str(project), "other")
    user.write(f"{project.relative_to(user.home)}/skills/good/SKILL.md", "good")
    user.write("private/key", SECRET)
    (project / "skills/key").symlink_to(user.home / "private/key")
    (project / "skills/private").symlink_to(user.home / "private")
    (project / "skills/inside").symlink_to("good")
    (user.claude / "skills").symlink_to(project / "skills")
    files = user.stage()
    assert files[".claude/skills/good/SKILL.md"].data == b"good"
    assert files[".claude/skills/inside/SKILL.md"].data == b"good"
    assert SECRET.encode() not in everything(files)
    assert len(user.warnings) == 2
    assert f"the link leads out of {project}, to which guests can write" in user.warnings[0]


@pytest.mark.parametrize("target", [".ssh", ".aws/credentials", ".", ".."])
def test_links_to_private_places_are_not_followed(user: User, target: str) -> None:
    user.write(".ssh/id_ed25519", SECRET)
    user.write(".aws/credentials", SECRET)
    (user.claude / "skills").mkdir()
    (user.claude / "skills/link").symlink_to(user.home / target)
    assert set(user.stage()) == HOOKS_ONLY
    assert len(user.warnings) == 1


def test_loops_and_special_files_are_omitted_with_a_warning(user: User) -> None:
    user.write(".claude/skills/a/SKILL.md", "a")
    (user.claude / "skills/a/up").symlink_to("..")
    (user.claude / "skills/self").symlink_to("self")
    (user.claude / "skills/broken").symlink_to("nowhere")
    os.mkfifo(user.claude / "skills/pipe")
    (user.claude / "skills/null").symlink_to("/dev/null")
    with tempfile.TemporaryDirectory() as short, socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"{short}/s")
        (user.claude / "skills/socket").symlink_to(f"{short}/s")
        files = user.stage()
    assert set(files) == HOOKS_ONLY | {".claude/skills/a/SKILL.md"}
    reasons = {warning.partition(" is not in the guest: ")[2] for warning in user.warnings}
    assert reasons == {
        "its symbolic links form a loop",
        "Too many levels of symbolic links",
        "No such file or directory",
        "it is neither a file nor a directory",
    }
    assert len(user.warnings) == 6


def test_large_files_and_directories_are_reported(user: User) -> None:
    user.write(".claude/skills/large", b"x" * (FILE_MAX + 1))
    user.write(".claude/skills/small", "x")
    for number in range(9):
        user.write(f".claude/commands/{number}", b"x" * FILE_MAX)
    user.write(".claude/agents/x.md")
    files = user.stage()
    assert set(files) == HOOKS_ONLY | {".claude/skills/small", ".claude/agents/x.md"}
    assert user.warnings == [
        f"{user.claude}/commands is not in the guest: the files have more than 32 MiB together",
        f"{user.claude}/skills/large is not in the guest: it has more than 4 MiB",
    ]


def test_the_number_and_the_depth_of_files_are_limited(user: User) -> None:
    user.write(f".claude/agents/{'d/' * DEPTH_MAX}x.md")
    (user.claude / "skills").mkdir()
    for number in range(FILES_MAX + 1):
        (user.claude / f"skills/{number}").touch()
    assert set(user.stage()) == HOOKS_ONLY
    assert user.warnings[1:] == [f"{user.claude}/skills is not in the guest: there are more than 5,000 files"]
    assert user.warnings[0].endswith(f"it has more than {DEPTH_MAX} levels of directories")


def test_an_unreadable_file_is_reported(user: User) -> None:
    user.write(".claude/CLAUDE.md", "x", 0)
    assert set(user.stage()) == HOOKS_ONLY
    assert user.warnings == [f"{user.claude}/CLAUDE.md is not in the guest: Permission denied"]


def test_the_text_about_the_guest_is_appended_to_the_users_instructions(user: User) -> None:
    user.write(".claude/CLAUDE.md", "Be brief.\n")
    user.write("text.md", "Our own text.")
    variables = {"CCVM_CLAUDE_MD": str(user.home / "text.md")}
    text = user.stage(**variables)[".claude/CLAUDE.md"].data.decode()
    assert text.startswith("Be brief.\n\n# This session\n")
    assert "LIVE" in text
    assert text.endswith("Our own text.\n")
    text = user.stage(**variables, CCVM_SHARE_CLAUDEMD="0", CCVM_WRITABLE_CWD="0")[".claude/CLAUDE.md"].data.decode()
    assert text.startswith("# This session\n")
    assert "DISCARDED" in text


def git(user: User, **variables: str) -> str:
    """Return the text of Git's configuration in a guest that has all programs."""
    user.stage(**variables)
    return "".join(file.data.decode() for file in user.staged.files if file.path == ".config/git/config")


def test_git_configuration_crosses_with_its_includes(user: User) -> None:
    user.write(".config/git/config", "[user]\nname = First\nemail = me@host\n")
    user.write(".gitconfig", "[user]\nname = Second\n[include]\npath = more\n[core]\npager = less -X\n")
    user.write("more", "[alias]\nst = status\n[credential]\nhelper = store\n")
    text = git(user)
    assert text.index("First") < text.index("Second")
    assert 'st = "status"' in text
    assert "credential" not in text
    assert 'gpgsign = "false"' in text
    assert [file.needs for file in user.staged.files if file.append] == ["less"]
    user.write("other", "[user]\nname = Other\n")
    assert "Second" not in git(user, GIT_CONFIG_GLOBAL=str(user.home / "other"))
    assert git(user, GIT_CONFIG_GLOBAL="") == ""
    assert git(user, CCVM_SHARE_GIT_CONFIG="0") == ""


def test_git_of_the_host_runs_outside_of_any_repository(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    user.write(".gitconfig", '[user]\nname = Me\n[includeIf "gitdir:/"]\npath = evil\n')
    user.write("evil", "[alias]\nx = evil\n")
    repository = user.home / "src"
    user.write("src/.git/HEAD", "ref: refs/heads/main\n")
    user.write("src/.git/config", "[user]\nname = Evil\n")
    (repository / ".git/objects").mkdir()
    (repository / ".git/refs").mkdir()
    monkeypatch.setenv("GIT_DIR", str(repository / ".git"))
    monkeypatch.chdir(repository)
    text = git(user)
    assert "Me" in text
    assert "vil" not in text


def test_invalid_git_configuration_is_reported(user: User) -> None:
    user.write(".gitconfig", "[user\nname")
    assert git(user) == ""
    (warning,) = user.warnings
    assert warning.startswith(f"{user.home}/.gitconfig is not in the guest: fatal: bad config line 1")


def test_files_that_git_names_cross_by_content(user: User) -> None:
    user.write(".config/git/ignore", "default")
    user.write(".config/git/attributes", "* text=auto")
    files = user.stage()
    assert files[".config/git/ignore"].data == b"default"
    assert files[".config/git/attributes"].data == b"* text=auto"
    user.write("own-ignore", "own")
    user.write(".gitconfig", "[core]\nexcludesFile = ~/own-ignore\n")
    assert user.stage()[".config/git/ignore"].data == b"own"


def test_other_agents_have_files_of_their_own(user: User) -> None:
    user.write(".codex/config.toml", f'model = "m"\n[mcp_servers.x]\ncommand = "c"\nenv = {{ A = "{SECRET}" }}\n')
    user.write(".codex/AGENTS.md", "Be brief.")
    user.write(".codex/auth.json", SECRET)
    files = user.stage('agent = "codex"')
    assert set(files) == {".codex/config.toml", ".codex/AGENTS.md"}
    assert b'model = "m"' in files[".codex/config.toml"].data
    user.write(".gemini/settings.json", '{"ui": {"theme": "x"}, /* c */ "security": {"auth": {"selectedType": "y"}}}')
    user.write(".gemini/oauth_creds.json", SECRET)
    files |= user.stage('agent = "gemini"')
    assert json.loads(files[".gemini/settings.json"].data)["security"] == {"auth": {"selectedType": "y"}}
    user.write(
        "xdg/opencode/opencode.jsonc", f'{{"provider": {{"p": {{"options": {{"apiKey": "{SECRET}", "x": 1}}}}}}}}'
    )
    user.write("xdg/opencode/agent/a.md")
    files |= user.stage('agent = "opencode"', XDG_CONFIG_HOME=str(user.home / "xdg"))
    assert json.loads(files[".config/opencode/opencode.jsonc"].data) == {"provider": {"p": {"options": {"x": 1}}}}
    assert {".config/opencode/agent/a.md", ".config/opencode/plugin/ccvm.js"} <= set(files)
    assert SECRET.encode() not in everything(files)


@pytest.mark.parametrize("agent", ["none", "own-agent"])
def test_an_unknown_agent_receives_only_the_configuration_of_git(user: User, agent: str) -> None:
    user.write(".claude/CLAUDE.md")
    user.write(".gitconfig", "[user]\nname = Me\n")
    assert set(user.stage(f'agent = "{agent}"')) == {".config/git/config"}


def history(user: User, **variables: str) -> str:
    environ = {"HOME": str(user.home), "CCVM_PERSIST_PROJECTS": "1", **variables}
    chosen = resolve(user.project, environ, config=user.config).settings
    return history_directory(sharing(str(user.project), chosen, environ), str(user.project))


def test_the_directory_of_conversations_is_created_if_it_is_missing(user: User) -> None:
    assert history(user) == str(user.claude / "projects")
    assert stat.S_IMODE((user.claude / "projects").stat().st_mode) == 0o700
    own = user.home / "own"
    assert history(user, CLAUDE_CONFIG_DIR=str(own)) == str(own / "projects")


def test_the_directory_of_conversations_may_be_a_link_of_the_user(user: User) -> None:
    (user.home / "elsewhere").mkdir()
    (user.claude / "projects").symlink_to("../elsewhere")
    assert history(user) == str(user.home / "elsewhere")


def test_a_guest_cannot_choose_the_directory_of_conversations(user: User) -> None:
    """The user's configuration is in the project, where a guest has replaced the directory by a link."""
    (user.project / "claude").mkdir()
    (user.project / "claude/projects").symlink_to(user.home)
    with pytest.raises(UserError, match="to which guests can write"):
        history(user, CLAUDE_CONFIG_DIR=str(user.project / "claude"))
    (user.claude / "projects").symlink_to(user.home)
    with pytest.raises(UserError, match="leads to the home directory"):
        history(user)


def test_a_directory_of_conversations_that_cannot_be_created_is_an_error(user: User) -> None:
    user.write(".claude/projects", "a file")
    with pytest.raises(UserError, match=r"cannot create .*projects: File exists"):
        history(user)
