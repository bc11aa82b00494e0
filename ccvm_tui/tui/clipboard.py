"""Putting text on the user's clipboard: OSC 52 to the outer terminal, and the desktop's own tool beside it."""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
from collections.abc import Mapping

OSC52_MAX = 1 << 20
"""Bytes of text beyond which no terminal takes an OSC 52; the tools have no such limit."""

TOOL_WITHIN = 2.0


def osc52(data: bytes, selection: str = "c") -> str:
    """The sequence; empty when the text is too long for it."""
    if len(data) > OSC52_MAX:
        return ""
    return f"\x1b]52;{selection};{base64.b64encode(data).decode()}\x1b\\"


def tool(environ: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """The argv of a program that takes the text on its standard input; empty where there is none."""
    if environ.get("WAYLAND_DISPLAY") and (found := shutil.which("wl-copy")):
        return (found,)
    if environ.get("DISPLAY") and (found := shutil.which("xclip")):
        return (found, "-selection", "clipboard", "-in")
    if found := shutil.which("pbcopy"):
        return (found,)
    return ()


async def copy_with_tool(data: bytes) -> bool:
    """Whether the desktop's tool took the text."""
    argv = tool()
    if not argv:
        return False
    quiet = asyncio.subprocess.DEVNULL
    try:
        process = await asyncio.create_subprocess_exec(
            *argv, stdin=asyncio.subprocess.PIPE, stdout=quiet, stderr=quiet, start_new_session=True
        )
    except OSError:
        return False
    try:
        async with asyncio.timeout(TOOL_WITHIN):
            await process.communicate(data)
    except TimeoutError:
        process.kill()
        await process.wait()
        return False
    return process.returncode == 0
