"""The user's SSH agent, which a session may use if the user asks for it."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path

from ccvm_tui.errors import UserError
from ccvm_tui.signing.wire import VARIABLE


def agent_socket(environ: Mapping[str, str]) -> str:
    """Return the absolute path of the agent's socket. Raises UserError if there is no agent."""
    path = environ.get(VARIABLE, "")
    if not path:
        raise UserError(
            f"there is no SSH agent: {VARIABLE} is not set", 'start one with `eval "$(ssh-agent)"`, and `ssh-add` a key'
        )
    path = str(Path(path).absolute())
    try:
        is_socket = stat.S_ISSOCK(Path(path).stat().st_mode)
    except OSError as error:
        raise UserError(f"there is no SSH agent at {path}: {error.strerror}", f"see {VARIABLE}") from error
    if not is_socket:
        raise UserError(f"{path} is not the socket of an SSH agent", f"see {VARIABLE}")
    return path
