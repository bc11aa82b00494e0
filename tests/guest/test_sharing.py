"""The user's configuration in a real guest, and the questions that Claude Code does not repeat there."""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ccvm_tui import image as images
from ccvm_tui.client import listing
from ccvm_tui.image import Image, Store
from ccvm_tui.paths import cache_dir
from tests.attack.searching import files_with
from tests.conftest import XDG
from tests.guest.conftest import RealGuest, Starter, ccvm_tui
from tests.terminals import attached
from tests.waiting import eventually

pytestmark = pytest.mark.unmeasured

SECRET = "hunter2mark"
MARK = "only-in-the-guest"


@pytest.fixture
def user(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of a user with Claude Code and Git."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache_dir().parent))  # the image is there
    user = home / "me"
    (user / ".claude/skills/s").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(user))
    monkeypatch.delenv("CLAUDE_CONFIG_DIR")
    monkeypatch.delenv("CCVM_SHARE_GIT_CONFIG")
    return user


def write_configuration(user: Path, project: Path) -> None:
    state = {
        "hasCompletedOnboarding": True,
        "lastOnboardingVersion": "2.1.0",
        "theme": "dark",
        "primaryApiKey": SECRET,
        "oauthAccount": {"emailAddress": SECRET},
        "mcpServers": {"m": {"command": "no-such-server", "env": {"KEY": SECRET}}},
        "projects": {str(project): {"hasTrustDialogAccepted": True}, "/other": {"history": [SECRET]}},
    }
    (user / ".claude.json").write_text(json.dumps(state))
    (user / ".claude/.credentials.json").write_text(json.dumps({"claudeAiOauth": {"accessToken": SECRET}}))
    (user / ".claude/settings.json").write_text(json.dumps({"env": {"A_TOKEN": SECRET, "B": "b"}}))
    (user / ".claude/settings.json").chmod(0o400)
    (user / ".claude/CLAUDE.md").write_text(f"{MARK}\n")
    (user / ".claude/skills/s/run.sh").write_text("#!/bin/sh\necho skill\n")
    (user / ".claude/skills/s/run.sh").chmod(0o555)
    (user / ".claude/skills/s/data").write_bytes(bytes(range(256)) * (3 << 12))  # more than one message has
    (user / ".ignored").write_text("*.tmp\n")
    (user / ".gitconfig").write_text(
        '[user]\nname = "Ä User"\nemail = me@host\nsigningKey = ABC\n[commit]\ngpgSign = true\n'
        "[core]\nexcludesFile = ~/.ignored\npager = no-such-pager\neditor = vim\n"
        f"[credential]\nhelper = store\n[github]\ntoken = {SECRET}\n"
    )


def test_the_users_configuration_is_in_the_guest_and_secrets_are_not(
    home: Path, user: Path, own_guest: Starter
) -> None:
    project = home / "project"
    write_configuration(user, project)
    guest = own_guest()
    assert not [warning for warning in guest.info["warnings"] if "not in the guest" in warning]
    assert guest.sh("cat ~/.claude/CLAUDE.md").startswith(f"{MARK}\n\n# This session\n")
    assert "Edits of the project are LIVE" in guest.sh("cat ~/.claude/CLAUDE.md")
    settings = json.loads(guest.sh("cat ~/.claude/settings.json"))
    assert settings["env"] == {"B": "b"}
    assert "/usr/lib/ccvm/notify done" in json.dumps(settings["hooks"]["Stop"])
    assert guest.sh("~/.claude/skills/s/run.sh") == "skill\n"
    assert guest.sh("sha256sum < ~/.claude/skills/s/data") == subprocess.run(
        ["sha256sum"], stdin=(user / ".claude/skills/s/data").open("rb"), capture_output=True, text=True
    ).stdout  # fmt: skip
    # everything can be changed, whatever its mode on the host
    guest.sh("find ~ -not -type l -not -writable | grep . && exit 1; echo x >>~/.claude/settings.json")
    # Git works with the user's name, and without the host's programs and keys
    script = 'cd "$(mktemp -d)" && git init -q . && touch a b.tmp && git add . && git commit -qm x && git log'
    log = guest.sh(f"{script} --format='%an %ae' --name-only")
    assert log == "Ä User me@host\n\na\n"
    assert guest.sh("git config core.editor") == "vim\n"
    assert guest.run("git", "config", "core.pager").returncode == 1
    # secrets are nowhere in the guest, and what crosses is in no file of the host but the user's own
    assert guest.sh(f"sudo grep -rlsF {SECRET} /home /run /etc /tmp /root /var || true") == ""
    private = [home / variable[4:-4].lower().replace("_", "") for variable in XDG]
    assert files_with([*private, project], MARK.encode(), SECRET.encode()) == []
    for process in (guest.keeper, *guest.keeper.children(recursive=True)):
        assert MARK not in " ".join([*process.cmdline(), *process.environ().values()])


@pytest.fixture
def agent_project(home: Path, user: Path, image: Image, monkeypatch: pytest.MonkeyPatch) -> Path:  # noqa: ARG001
    """A project of a user who has answered the questions of Claude Code's first start on the host.

    Guests share the conversations and have an API key, whose use the user has approved on the host. They have no network,
    and know no API that Claude Code would wait for: with the real one's address it retries for 20 s before its main screen.
    """
    assert shutil.which("claude") or shutil.which("npm"), "the layer needs claude or npm on this machine"
    images.build(Store(), images.load_recipe(), ("claude",), lambda _: None)
    project = home / "agent"
    project.mkdir()
    write_configuration(user, project)
    key = "sk-ant-api03-" + secrets.token_hex(40)
    state = json.loads((user / ".claude.json").read_text())
    state["customApiKeyResponses"] = {"approved": [key[-20:]], "rejected": []}
    (user / ".claude.json").write_text(json.dumps(state))
    monkeypatch.setenv("ANTHROPIC_API_KEY", key)
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("CCVM_PERSIST_PROJECTS", "1")
    return project


@contextlib.contextmanager
def agent_guest(project: Path, *arguments: str) -> Iterator[RealGuest]:
    options = ("--detach", "--memory", "2048", "--network", "none")
    result = ccvm_tui("run", *options, str(project), *(("--", *arguments) if arguments else ()), within=240)
    assert result.returncode == 0, result.stderr.decode()
    guest = RealGuest(result.stdout.decode().partition("/")[0], project)
    yield guest
    listing.stop_any(guest.name, force=True)


@pytest.mark.timeout(900)
async def test_claude_code_repeats_no_question_and_resumes_a_conversation_in_a_new_guest(
    agent_project: Path, user: Path
) -> None:
    projects = user / ".claude/projects"
    with agent_guest(agent_project) as guest:
        async with attached(guest.name, "s1", cols=100, rows=40) as terminal:
            # the main screen, which is preceded by no question
            await terminal.until("❯", within=240)
            assert "Claude Code v" in terminal.text
            assert "history of conversations is kept" in guest.sh("cat ~/.claude/CLAUDE.md")
            terminal.type("remember the mango")
            await terminal.until("remember the mango")
            terminal.type("\r")
            await eventually(lambda: bool(files_with([projects], b"remember the mango")), within=120)
            await eventually(lambda: guest.info["sessions"][0]["activity"] == "working", within=60)
            terminal.type("\x1b")
            await eventually(lambda: guest.info["sessions"][0]["activity"] == "idle", lambda: terminal.text, within=60)
    assert {path.parent for path in projects.rglob("*.jsonl")} != {projects}
    assert projects.stat().st_uid == next(projects.rglob("*.jsonl")).stat().st_uid
    with agent_guest(agent_project, "--resume") as guest:
        async with attached(guest.name, "s1", cols=100, rows=40) as terminal:
            await terminal.until("remember the mango", within=240)
