"""Reports of agents about themselves: hooks that are added to an agent's own settings in the guest.

The settings also stop an agent from looking for updates, where no variable does (see ``Agent.variables``): it is on a
read-only disk.

Each function takes the file for the guest, or None if there is none, and returns it with the hooks, or None if the file
has an unexpected structure. Hooks of the user are kept.
"""

from __future__ import annotations

import json
import tomllib
from typing import Any

import tomli_w

NOTIFY = "/usr/lib/ccvm/notify"
"""The program in the guest that reports to the keeper."""

_CLAUDE: tuple[tuple[str, str, str], ...] = (
    ("UserPromptSubmit", "", "working"),
    ("Notification", "", "waiting -"),
    ("Stop", "", "done"),
    # A question of the agent, and a plan to approve. Their hooks run before the user has answered, and after that.
    ("PreToolUse", "AskUserQuestion|ExitPlanMode", "waiting"),
    ("PostToolUse", "AskUserQuestion|ExitPlanMode", "working"),
)
"""Events of Claude Code, matchers, and arguments. The argument "-" reads the text from standard input."""

_GEMINI: tuple[tuple[str, str, str], ...] = (
    ("BeforeAgent", "", "working"),
    ("Notification", "", "waiting -"),
    ("AfterAgent", "", "done"),
)
"""Events of Gemini CLI, which have the structure of those of Claude Code."""

OPENCODE_PLUGIN = f"""\
// Reports to the dashboard of the host whether this session is working or waiting.
const STATES = {{
  "session.idle": "done",
  "permission.asked": "waiting",
  "permission.updated": "waiting",
  "permission.replied": "working",
  "question.asked": "waiting",
  "question.replied": "working",
}}

export const Notify = async ({{ $ }}) => ({{
  event: async ({{ event }}) => {{
    const busy = event.type === "session.status" && event.properties?.status?.type === "busy"
    const state = busy ? "working" : STATES[event.type]
    if (state) await $`{NOTIFY} ${{state}}`.quiet().nothrow()
  }},
}})
"""
"""A plugin of OpenCode with the events of its bus."""


def claude(data: bytes | None) -> bytes | None:
    """Add the hooks to ``settings.json`` of Claude Code."""
    return _encoded(with_hooks(json.loads(data) if data is not None else {}))


def gemini(data: bytes | None) -> bytes | None:
    """Add the hooks to ``settings.json`` of Gemini CLI."""
    settings = json.loads(data) if data is not None else {}
    general = settings.get("general", {}) if isinstance(settings, dict) else None
    if not isinstance(general, dict):
        return None
    updates = {"enableAutoUpdate": False, "enableAutoUpdateNotification": False}
    return _encoded(with_hooks({**settings, "general": {**general, **updates}}, _GEMINI))


def codex(data: bytes | None) -> bytes | None:
    """Add the notification program to ``config.toml`` of Codex. The user's own program is on the host only.

    Codex also notifies the terminal when it needs an approval.
    """
    config = tomllib.loads((data or b"").decode())
    tui = config.get("tui", {})
    if not isinstance(tui, dict):
        return None
    config["notify"] = [NOTIFY, "done"]
    config["check_for_update_on_startup"] = False
    config["tui"] = {"notifications": True, **tui}
    return tomli_w.dumps(config).encode()


def opencode(_: bytes | None) -> bytes:
    """Return the plugin for OpenCode."""
    return OPENCODE_PLUGIN.encode()


def _encoded(settings: dict[str, Any] | None) -> bytes | None:
    return None if settings is None else (json.dumps(settings, indent=2) + "\n").encode()


def with_hooks(settings: Any, events: tuple[tuple[str, str, str], ...] = _CLAUDE) -> dict[str, Any] | None:
    """Return ``settings`` with the hooks for ``events`` added, or None if their structure is not the expected one."""
    if not isinstance(settings, dict):
        return None
    hooks = settings.get("hooks", {})
    if not isinstance(hooks, dict):
        return None
    added: dict[str, Any] = {}
    for event, matcher, arguments in events:
        own = hooks.get(event, [])
        if not isinstance(own, list):
            return None
        command = f"{NOTIFY} {arguments}"
        entry: dict[str, Any] = {"hooks": [{"type": "command", "command": command}]}
        added[event] = [*own, {"matcher": matcher, **entry} if matcher else entry]
    return {**settings, "hooks": {**hooks, **added}}
