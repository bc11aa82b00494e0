"""The way in which a guest gets the user's logins, derived from settings and the host's environment."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from ccvm_tui.agents import AGENTS
from ccvm_tui.boot import egress
from ccvm_tui.boot.git_files import git_files
from ccvm_tui.config import Settings
from ccvm_tui.egress import hosts
from ccvm_tui.egress.policy import Mode
from ccvm_tui.errors import ConfigError
from ccvm_tui.outbound import Logins

BROKER, KEY, NONE = "broker", "key", "none"
"""The ways."""


def mode(settings: Settings) -> str:
    """Return the way that the settings mean. Raises ConfigError if they contradict each other."""
    is_open = egress.mode(settings) is Mode.OPEN
    if settings.login == "auto":
        return KEY if is_open else BROKER
    if settings.login == BROKER and is_open:
        raise ConfigError(
            "login is broker, and egress is open: connections that do not pass the keeper cannot get a login from it",
            "set egress to public, allowlist or ask, or login to key",
        )
    return settings.login


def logins(settings: Settings, environ: Mapping[str, str]) -> Logins:
    """Return the parameters for the keeper. Raises ConfigError if settings contradict each other."""
    if (way := mode(settings)) != BROKER:
        return Logins(way)
    home = environ.get("HOME") or str(Path.home())
    return Logins(
        way,
        str(credentials(settings, environ) or ""),
        base_urls(settings, environ),
        settings.login_keep,
        settings.login_git,
        git_files(environ, home) if settings.login_git else (),
        home,
    )


def credentials(settings: Settings, environ: Mapping[str, str]) -> Path | None:
    """Return the path of the agent's credentials file on the host, or None if its login is not supported."""
    agent = AGENTS.get(settings.agent)
    if agent is None or agent.login.subscription is None:
        return None
    home = environ.get("HOME") or str(Path.home())
    return Path(posixpath.join(agent.directory.on_host(environ, home), agent.login.subscription.file))


def base_variables(settings: Settings) -> tuple[str, ...]:
    """Return the variables with URLs that sessions receive if the keeper holds the logins."""
    agent = AGENTS.get(settings.agent)
    return (agent.login.base,) if agent is not None and agent.login.base else ()


def base_urls(settings: Settings, environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the URLs that the user wants in place of the agent's own."""
    return tuple(environ[name] for name in base_variables(settings) if environ.get(name))


def base_rules(settings: Settings, environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return rules that allow the hosts of those URLs, and of Git. Addresses must be allowed by the user."""
    rules = [name.partition("/")[0] for name in settings.login_git]
    for url in base_urls(settings, environ):
        try:
            parts = urlsplit(url)
            host, port = hosts.parse(parts.hostname or ""), parts.port or 443
        except ValueError:
            continue
        if parts.scheme == "https" and isinstance(host, str):
            rules.append(f"{host}:{port}")
    return tuple(rules)
