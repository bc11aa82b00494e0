"""The other agents of the table in real guests, from their npm packages: each shows its first screen."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from ccvm_tui import image as images
from ccvm_tui.agents import AGENTS
from ccvm_tui.client import listing
from ccvm_tui.image import Image, Store
from tests.guest.conftest import RealGuest, ccvm_tui
from tests.terminals import attached

pytestmark = pytest.mark.unmeasured

SCREENS = {"codex": "Codex", "gemini": "Gemini CLI", "opencode": "Ask anything"}
"""A text on the first screen of each agent."""


@pytest.fixture
def agent(request: pytest.FixtureRequest, home: Path, image: Image) -> Iterator[tuple[str, RealGuest]]:  # noqa: ARG001
    """The name of an agent, and a guest in which it runs. The image must exist."""
    assert shutil.which("npm"), "the layers need npm on this machine"
    name: str = request.param
    images.build(Store(), images.load_recipe(), (name,), lambda _: None)
    project = home / name
    project.mkdir()
    (home / "config" / "ccvm").mkdir(exist_ok=True)
    (home / "config" / "ccvm" / "config.toml").write_text(f'agent = "{name}"\n')
    result = ccvm_tui("run", "--detach", "--memory", "3072", str(project), within=240)
    assert result.returncode == 0, result.stderr.decode()
    guest = result.stdout.decode().partition("/")[0]
    yield name, RealGuest(guest, project)
    listing.stop_any(guest, force=True)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("agent", SCREENS, indirect=True)
async def test_an_agent_shows_its_first_screen(agent: tuple[str, RealGuest]) -> None:
    name, guest = agent
    async with attached(guest.name, "s1", cols=100, rows=40) as terminal:
        await terminal.until(SCREENS[name], within=400)
    instructions = f"~/{AGENTS[name].directory.default}/{AGENTS[name].instructions}"
    assert "# This session" in guest.sh(f"cat {instructions}")
