"""Measure the start of each agent in a real guest: from the command to its first screen.

./dev bench agents                     all agents of the table
python bench/agents.py codex gemini    only these
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ccvm_tui import image as images
from ccvm_tui.agents import AGENTS
from ccvm_tui.client import connection
from ccvm_tui.guest import TermSize
from ccvm_tui.image import Store
from ccvm_tui.protocol import Output

COMMAND = [sys.executable, "-P", "-m", "ccvm_tui"]
FIRST = {"claude": b"Welcome", "codex": b"Codex", "gemini": b"Gemini", "opencode": b"anything"}
"""A word on the first screen of each agent that is drawn in one piece."""
WITHIN = 400.0


async def first_screen(guest: str, word: bytes) -> None:
    """Wait until the first session of a guest has printed ``word``."""
    received = b""
    async with asyncio.timeout(WITHIN), await connection.attach(guest, "s1", TermSize(100, 40)) as stream:
        while word not in received:
            message = await stream.receive()
            received += message.data if isinstance(message, Output) else b""


def measure(agent: str, root: Path) -> tuple[float, float]:
    """Return the seconds from the command until the guest is ready, and until the agent has drawn its first screen."""
    images.build(Store(), images.load_recipe(), (agent,), lambda _: None)
    project = root / agent
    project.mkdir()
    start = time.perf_counter()
    command = [*COMMAND, "run", "--detach", "--memory", "3072", str(project)]
    started = subprocess.run(
        command, check=True, capture_output=True, text=True, env={**os.environ, "CCVM_AGENT": agent}
    )
    ready = time.perf_counter() - start
    guest = started.stdout.partition("/")[0]
    try:
        asyncio.run(first_screen(guest, FIRST[agent]))
        return ready, time.perf_counter() - start
    finally:
        subprocess.run([*COMMAND, "stop", "--force", guest], check=True, capture_output=True)


def main() -> None:
    """Measure in separate directories, and print a line for each agent."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("agents", nargs="*", metavar="AGENT", help=", ".join(AGENTS))
    options = parser.parse_args()
    if unknown := set(options.agents) - set(AGENTS):
        parser.error(f"no such agent: {', '.join(sorted(unknown))}")
    root = Path(tempfile.mkdtemp(prefix="ccvm-b"))
    os.environ.update(XDG_RUNTIME_DIR=str(root), XDG_STATE_HOME=str(root), XDG_CONFIG_HOME=str(root))
    os.environ.update(CLAUDE_CONFIG_DIR="/nonexistent", CCVM_SHARE_GIT_CONFIG="0")
    try:
        for agent in options.agents or AGENTS:
            ready, shown = measure(agent, root)
            print(f"{agent:10} ready {ready:6.1f} s   first screen {shown:6.1f} s", flush=True)
    finally:
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    main()
