"""Removal of secrets from parsed configuration: JSON or TOML values, in any nesting.

A secret is recognized by the name of its key, by its position (the environment and the headers of an MCP server), or by
its form (a token with a known prefix, a password in a URL). Everything else is returned unchanged.
"""

from __future__ import annotations

import re
from typing import Any

REMOVED = "REMOVED"
"""The replacement of a token inside a longer text."""

_SERVERS = frozenset({"mcpServers", "mcp_servers", "mcp"})
"""Keys of tables of MCP servers: Claude Code and Gemini CLI, Codex, OpenCode."""

_OF_SERVERS = frozenset({"env", "headers", "http_headers", "environment", "oauth"})
"""Keys of an MCP server whose values contain secrets. Codex names variables in ``env_http_headers``, which stays."""

_WORDS = frozenset(
    {
        *("token", "tokens", "secret", "secrets", "password", "passwd", "passphrase", "credential", "credentials"),
        *("authorization", "bearer", "cookie", "cookies", "pat", "headers"),
    }
)
"""Last words of the names of secrets."""

_KEYS = frozenset({"api", "private", "access", "secret", "signing", "encryption", "auth"})
"""Words that make a name which ends with "key" the name of a secret. Others, such as "keyboard key", are none."""

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_PLAIN = re.compile(r"[0-9]{0,9}|true|false|yes|no|on|off")
_PASSWORD_IN_URL = re.compile(r"(?<=://)[^/@\s\"']+@")
_TOKEN = re.compile(
    r"\b(?:sk-[\w-]{16,}|gh[pousr]_\w{16,}|github_pat_\w{16,}|glpat-[\w-]{16,}|xox[a-z]-[\w-]{10,}"
    r"|AIza[\w-]{30,}|npm_\w{30,}|eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]*)"
)


def is_secret_name(name: str) -> bool:
    """Return whether ``name``, of a key or an environment variable, is that of a secret.

    The words of the name are separated by case, or by characters that are not letters. Only the last ones count:
    ``ANTHROPIC_AUTH_TOKEN`` and ``apiKey`` are names of secrets, ``maxTokensPerDay`` and ``env_key`` are not.
    """
    words = [word.lower() for word in _WORD.findall(name)]
    if not words or words[0] == "env":  # names of variables: env_key, env_http_headers
        return False
    if words[-1] in ("apikey", "authtoken"):
        return True
    return words[-1] in _WORDS or (words[-1] in ("key", "keys") and len(words) > 1 and words[-2] in _KEYS)


def without_secrets(value: Any) -> Any:
    """Return a copy of the parsed ``value`` without secrets. Numbers, booleans and dates are never secrets."""
    if isinstance(value, dict):
        kept: dict[str, Any] = {}
        for key, inner in value.items():
            if is_secret_name(key) and not _is_plain(inner):
                continue
            if key in _SERVERS and isinstance(inner, dict):
                inner = {name: _without_environment(server) for name, server in inner.items()}
            kept[key] = without_secrets(inner)
        return kept
    if isinstance(value, list):
        return [without_secrets(inner) for inner in value]
    return redacted(value) if isinstance(value, str) else value


def redacted(text: str) -> str:
    """Return ``text`` without passwords in URLs, and with tokens replaced."""
    return _TOKEN.sub(REMOVED, _PASSWORD_IN_URL.sub("", text))


def _is_plain(value: Any) -> bool:
    """Return whether ``value`` is no secret under any name: a number or a switch, which variables have as text."""
    return not isinstance(value, str | list | dict) or (isinstance(value, str) and bool(_PLAIN.fullmatch(value)))


def _without_environment(server: Any) -> Any:
    if not isinstance(server, dict):
        return server
    return {key: inner for key, inner in server.items() if key not in _OF_SERVERS}
