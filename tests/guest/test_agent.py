"""The real agent in a real guest without a network."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from ccvm_tui import image as images
from ccvm_tui.client import listing
from ccvm_tui.image import Image, Store
from tests.guest.conftest import RealGuest, ccvm_tui
from tests.terminals import attached

pytestmark = pytest.mark.unmeasured


@pytest.fixture
def agent_guest(home: Path, image: Image) -> Iterator[RealGuest]:  # noqa: ARG001 - it must exist
    """A guest with Claude Code, from the installation on this machine or from the npm registry."""
    assert shutil.which("claude") or shutil.which("npm"), "the layer needs claude or npm on this machine"
    images.build(Store(), images.load_recipe(), ("claude",), lambda _: None)
    project = home / "agent"
    project.mkdir()
    result = ccvm_tui("run", "--detach", "--memory", "2048", "--network", "none", str(project), within=240)
    assert result.returncode == 0, result.stderr.decode()
    name = result.stdout.decode().partition("/")[0]
    yield RealGuest(name, project)
    listing.stop_any(name, force=True)


@pytest.mark.timeout(600)
async def test_claude_code_shows_its_first_screen(agent_guest: RealGuest) -> None:
    async with attached(agent_guest.name, "s1", cols=100, rows=40) as terminal:
        await terminal.until("Claude Code", within=240)
