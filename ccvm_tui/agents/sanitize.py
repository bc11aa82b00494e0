"""Sanitizers: pure functions that remove from a configuration file what must not be in a guest.

A sanitizer takes the bytes of a file and the ``Facts`` of the guest, and returns the bytes for the guest. It raises
ValueError with the reason if the file is not valid. Such a file is not copied at all, since nothing is known about it.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import tomli_w

from ccvm_tui.agents import jsonc
from ccvm_tui.agents.secrets import without_secrets

HOME = "/home/dev"
"""The home directory of the guest's user."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts about a guest and its host.

    ``project`` is the path of the project, which is the same on both. ``directory`` is the agent's configuration
    directory on the host, ``target`` the one in the guest. ``key_endings`` are the last characters of the API keys that
    the user's sessions will have, and ``replaced_ending`` those of the placeholder that they have instead, if any.
    """

    project: str
    directory: str = ""
    target: str = ""
    key_endings: tuple[str, ...] = ()
    replaced_ending: str = ""


Sanitizer = Callable[[bytes, Facts], bytes]

KEY_ENDING = 20
"""Number of characters at the end of an API key by which Claude Code remembers that its use was approved."""

_HELPERS = frozenset({"apiKeyHelper", "awsAuthRefresh", "awsCredentialExport", "gcpAuthRefresh", "otelHeadersHelper"})
"""Settings of Claude Code with commands that print credentials. They are on the host only."""

_ACCOUNT = frozenset({"oauthAccount", "customApiKeyResponses", "githubRepoPaths"})
"""Keys of ``~/.claude.json`` with the account, with the ends of API keys, and with paths of other projects."""

_HISTORY = frozenset({"history", "lastSessionId", "lastSessionFirstPrompt", "lastSessionFirstPromptTime"})
"""Keys of a project in ``~/.claude.json`` with text that the user has typed, and with sessions that are not there."""


def claude_settings(data: bytes, facts: Facts) -> bytes:
    """Sanitize ``settings.json`` of Claude Code: no secrets, and no commands that print them."""
    settings = _object(_json(data))
    return _dump(_relocated(without_secrets(_without(settings, _HELPERS)), facts))


def claude_json(data: bytes, facts: Facts) -> bytes:
    """Sanitize ``~/.claude.json``: no secrets, no account, and of the projects only this one, without its history.

    A project is trusted if it or a directory above it is. In the guest only the project itself exists.
    """
    state = _object(_json(data))
    kept = without_secrets(_without(state, _ACCOUNT))
    projects = state.get("projects")
    if isinstance(projects, dict):
        own = projects.get(facts.project)
        entry = without_secrets(_without(own, _HISTORY)) if isinstance(own, dict) else {}
        if any(_is_true(projects.get(path), "hasTrustDialogAccepted") for path in _upwards(facts.project)):
            entry["hasTrustDialogAccepted"] = True
        kept["projects"] = {facts.project: entry} if entry else {}
    responses = state.get("customApiKeyResponses")
    if isinstance(responses, dict) and isinstance(responses.get("approved"), list):
        # Sessions receive these keys anyway. The end of any other key stays on the host.
        approved = [ending for ending in responses["approved"] if ending in facts.key_endings]
        if approved:
            known = [facts.replaced_ending] if facts.replaced_ending else approved
            kept["customApiKeyResponses"] = {"approved": known, "rejected": []}
    return _dump(_relocated(kept, facts))


def json_file(data: bytes, facts: Facts) -> bytes:
    """Sanitize a JSON file of any structure: no secrets, and paths of the guest."""
    return _dump(_relocated(without_secrets(_json(data)), facts))


def json_with_comments(data: bytes, facts: Facts) -> bytes:
    """Sanitize an object in JSON with comments. The comments are removed."""
    return _dump(_relocated(without_secrets(_object(jsonc.loads(_text(data)))), facts))


def gemini_trust(data: bytes, facts: Facts) -> bytes:
    """Sanitize ``trustedFolders.json`` of Gemini CLI: only the entry that applies to this project."""
    folders = _object(jsonc.loads(_text(data)))
    for path in _upwards(facts.project):
        level = folders.get(path)
        parent = str(PurePosixPath(path).parent)
        if level == "DO_NOT_TRUST" and path == facts.project:
            return _dump({facts.project: level})
        if level == "TRUST_FOLDER" or (level == "TRUST_PARENT" and facts.project.startswith(f"{parent}/")):
            return _dump({facts.project: "TRUST_FOLDER"})
    return _dump({})


def codex_config(data: bytes, facts: Facts) -> bytes:
    """Sanitize ``config.toml`` of Codex: no secrets, and of the projects only this one."""
    try:
        config = tomllib.loads(_text(data))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"it is not TOML: {error}") from None
    kept = without_secrets(config)
    projects = config.get("projects")
    if isinstance(projects, dict):
        entries = (projects.get(path) for path in _upwards(facts.project))
        own = next((entry for entry in entries if isinstance(entry, dict)), None)
        kept["projects"] = {facts.project: without_secrets(own)} if own else {}
    return tomli_w.dumps(_relocated(kept, facts)).encode()


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None


def _json(data: bytes) -> Any:
    try:
        return json.loads(_text(data))
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON: {error}") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("it is not an object")
    return value


def _dump(value: Any) -> bytes:
    # ASCII, because JSON can contain lone surrogates, which UTF-8 cannot
    return (json.dumps(value, indent=2) + "\n").encode()


def _without(table: dict[str, Any], names: frozenset[str]) -> dict[str, Any]:
    return {key: value for key, value in table.items() if key not in names}


def _is_true(entry: Any, key: str) -> bool:
    return isinstance(entry, dict) and entry.get(key) is True


def _upwards(path: str) -> Iterator[str]:
    """Yield ``path`` and the directories above it."""
    yield path
    yield from map(str, PurePosixPath(path).parents)


def _relocated(value: Any, facts: Facts) -> Any:
    """Return a copy of ``value`` in which paths below the agent's directory on the host are those in the guest."""
    if not facts.directory or not facts.target:
        return value
    if isinstance(value, dict):
        return {_relocated(key, facts): _relocated(inner, facts) for key, inner in value.items()}
    if isinstance(value, list):
        return [_relocated(inner, facts) for inner in value]
    if isinstance(value, str) and facts.directory in value:
        return value.replace(f"{facts.directory}/", f"{facts.target}/")
    return value
