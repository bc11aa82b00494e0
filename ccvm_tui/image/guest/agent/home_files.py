"""Files sent by the host, and the hooks in the settings of Claude Code."""

from __future__ import annotations

import binascii
import os

from .account import HOME, User
from .files import make_directories, write
from .jsontext import dumps, loads

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from typing import Any

_SETTINGS = f"{HOME}/.claude/settings.json"
_NOTIFY = "/usr/lib/ccvm/notify"
_HOOKS = {
    "UserPromptSubmit": f"{_NOTIFY} working",
    "Notification": f"{_NOTIFY} waiting -",
    "Stop": f"{_NOTIFY} done",
}
"""Events of Claude Code, and the commands that report them. The argument "-" reads the text from standard input."""


def place(files: list[dict[str, Any]], user: User) -> None:
    """Write the files of a ``configure`` message.

    Raises KeyError or ValueError if an entry is malformed, OSError if a file cannot be written.
    """
    for file in files:
        path = str(file["path"])
        in_home = path.startswith("~/")
        if in_home:
            path = HOME + path[1:]
        if not os.path.isabs(path) or ".." in path.split("/"):
            raise ValueError(f"not a path for a file: {path}")
        owner = user.owner if in_home or file.get("owner") == "user" else (0, 0)
        make_directories(os.path.dirname(path), owner)
        write(path, binascii.a2b_base64(file["data"]), int(file.get("mode", 0o644)), owner)


def add_hooks(user: User, path: str = _SETTINGS) -> None:
    """Add the hooks to Claude Code's settings, which keep the user's own hooks."""
    settings = with_hooks(_read(path))
    if settings is not None:
        make_directories(os.path.dirname(path), user.owner)
        mode = os.stat(path).st_mode & 0o7777 if os.path.exists(path) else 0o644
        write(path, dumps(settings) + "\n", mode, user.owner)


def with_hooks(settings: Any) -> dict[str, Any] | None:
    """Return ``settings`` with the hooks added, or None if their structure is not the expected one."""
    if not isinstance(settings, dict):
        return None
    hooks = settings.get("hooks", {})
    if not isinstance(hooks, dict) or not all(isinstance(hooks.get(event, []), list) for event in _HOOKS):
        return None
    added = {
        event: [*hooks.get(event, []), {"hooks": [{"type": "command", "command": command}]}]
        for event, command in _HOOKS.items()
        if command not in dumps(hooks.get(event, []))
    }
    return {**settings, "hooks": {**hooks, **added}}


def _read(path: str) -> Any:
    try:
        with open(path) as file:
            return loads(file.read())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        return None
