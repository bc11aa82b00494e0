"""The other agents of the table in real guests, from their npm packages."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from ccvm_tui import image as images
from ccvm_tui.agents import AGENTS
from ccvm_tui.image import Image, Store
from tests.guest.conftest import RealGuest, ccvm_tui
from tests.terminals import attached

pytestmark = pytest.mark.unmeasured


def start(home: Path, name: str, *options: str) -> RealGuest:
    """Start a guest whose agent is ``name``."""
    assert shutil.which("npm"), "the layers need npm on this machine"
    images.build(Store(), images.load_recipe(), (name,), lambda _: None)
    project = home / name
    project.mkdir()
    (home / "config" / "ccvm").mkdir(exist_ok=True)
    (home / "config" / "ccvm" / "config.toml").write_text(f'agent = "{name}"\n')
    result = ccvm_tui("run", "--detach", *options, str(project), within=240)
    assert result.returncode == 0, result.stderr.decode()
    return RealGuest(result.stdout.decode().partition("/")[0], project)


def has_instructions(guest: RealGuest, name: str) -> bool:
    """Return whether the instructions of the agent mention the guest."""
    return "# This session" in guest.sh(f"cat ~/{AGENTS[name].directory.default}/{AGENTS[name].instructions}")


async def test_an_agent_shows_its_first_screen(home: Path, image: Image) -> None:  # noqa: ARG001 - it must exist
    guest = start(home, "codex")
    async with attached(guest.name, "s1", cols=100, rows=40) as terminal:
        await terminal.until("Codex", within=240)
    assert has_instructions(guest, "codex")


@pytest.mark.parametrize("name", ["gemini", "opencode"])
def test_an_agent_runs(name: str, home: Path, image: Image) -> None:  # noqa: ARG001 - it must exist
    """The first screens of these take minutes under emulation; ``bench/agents.py`` waits for them."""
    guest = start(home, name, "--shell")
    done = guest.run("/opt/ccvm/agent", "--version", within=240)
    assert re.fullmatch(rb"\d+\.\d+\.\d+\S*\n", done.stdout), done.stdout + done.stderr
    assert has_instructions(guest, name)
