"""Start of detached keepers."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys

from ccvm_tui import packing
from ccvm_tui.errors import KeeperLost, user_error
from ccvm_tui.protocol import LaunchSpec

START_TIMEOUT = 20.0
"""Seconds within which a keeper must listen on its socket. It usually takes a fraction of a second, but hosts swap."""

INHERITED_VARIABLES = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR", "VIRTUAL_ENV"),
        *("XDG_RUNTIME_DIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR"),
        *("PYTHONPATH", "PYTHONPYCACHEPREFIX", "PYTHONDONTWRITEBYTECODE"),
    }
)
"""Environment variables that a keeper inherits, besides those that begin with ``CCVM_``. All others are dropped, so
that no API key is readable in ``/proc/PID/environ``."""


async def launch(spec: LaunchSpec) -> bool:
    """Start a detached keeper for ``spec``, and return True once it accepts connections.

    Returns False if another keeper claimed the guest first; the caller can then connect to that keeper. Raises the
    UserError with which the keeper refused to start, or KeeperLost if it exits or does not start in time.
    """
    environment = {
        key: value for key, value in os.environ.items() if key in INHERITED_VARIABLES or key.startswith("CCVM_")
    }
    process = await asyncio.create_subprocess_exec(
        "setsid",
        "--fork",  # not a child of this process, which would have to reap it
        sys.executable,
        "-P",  # the guest can write to the current directory: never import from it
        "-m",
        "ccvm_tui.keeper",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        cwd="/",
    )
    try:
        async with asyncio.timeout(START_TIMEOUT):
            # if this process exits, the keeper finds these pipes closed, and exits too
            line, _ = await process.communicate(packing.pack(spec))
    except TimeoutError as error:
        raise KeeperLost("the keeper did not start", "try `ccvm-tui doctor`") from error
    return _parse_report(line)


def _parse_report(line: bytes) -> bool:
    try:
        answer = json.loads(line)
    except ValueError as error:
        raise KeeperLost("the keeper exited during its start", "try `ccvm-tui doctor`") from error
    if answer.get("ok"):
        return True
    if answer.get("taken"):
        return False
    raise user_error(
        str(answer.get("kind")), str(answer.get("message", "the keeper did not start")), str(answer.get("hint", ""))
    )
