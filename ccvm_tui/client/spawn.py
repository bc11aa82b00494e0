"""Start a keeper and leave it running."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys

from ccvm_tui import errors, packing
from ccvm_tui.errors import KeeperLost, UserError
from ccvm_tui.protocol import LaunchSpec

START_WITHIN = 20.0
"""Seconds within which a keeper has its socket; it takes a fraction of one, but machines swap."""

KEPT = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR", "VIRTUAL_ENV"),
        *("XDG_RUNTIME_DIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"),
        *("PYTHONPATH", "PYTHONPYCACHEPREFIX", "PYTHONDONTWRITEBYTECODE"),
    }
)
"""What a keeper inherits of the environment. An agent's key must not stay readable in /proc/PID/environ."""


async def launch(spec: LaunchSpec) -> bool:
    """Start a detached keeper for ``spec``; returns when its socket accepts.

    False when another keeper claimed the guest first: connect to that one. Raises the UserError with which
    the keeper refused to start, or KeeperLost.
    """
    environment = {key: value for key, value in os.environ.items() if key in KEPT or key.startswith("CCVM_")}
    process = await asyncio.create_subprocess_exec(
        "setsid",
        "--fork",  # not our child, so that nobody has to reap it
        sys.executable,
        "-P",  # the current directory belongs to the guest: never import from it
        "-m",
        "ccvm_tui.keeper",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        cwd="/",
    )
    try:
        async with asyncio.timeout(START_WITHIN):
            # a keeper whose starter has gone finds these pipes closed, and gives up
            line, _ = await process.communicate(packing.pack(spec))
    except TimeoutError as error:
        raise KeeperLost("the keeper did not start", "try `ccvm-tui doctor`") from error
    return _verdict(line)


def _verdict(line: bytes) -> bool:
    try:
        answer = json.loads(line)
    except ValueError as error:
        raise KeeperLost("the keeper ended while it started", "try `ccvm-tui doctor`") from error
    if answer.get("ok"):
        return True
    if answer.get("taken"):
        return False
    kind = getattr(errors, str(answer.get("kind")), UserError)
    raise (kind if isinstance(kind, type) and issubclass(kind, UserError) else UserError)(
        str(answer.get("message", "the keeper did not start")), str(answer.get("hint", ""))
    )
