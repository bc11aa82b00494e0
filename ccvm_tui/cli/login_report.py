"""The part of ``doctor`` about logins: how guests use them, what conflicts with that, and what does not work."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ccvm_tui.agents import AGENTS
from ccvm_tui.boot import egress, logins
from ccvm_tui.boot.sharing import key_variables
from ccvm_tui.config import Settings
from ccvm_tui.errors import ConfigError
from ccvm_tui.machine.check import Check
from ccvm_tui.machine.status import Status

AUTH_TOKEN = "ANTHROPIC_AUTH_TOKEN"  # noqa: S105 - the name of a variable
"""A variable that Claude Code prefers to every other login."""

TURNED_OFF = {
    logins.BROKER: "WebSocket and HTTP/2 to hosts with logins; remote control and cloud sessions of Claude Code, whose "
    "requests return further credentials; subscriptions of other agents than Claude Code",
    logins.KEY: "logins by subscription; and each program in the guest can read the API keys",
    logins.NONE: "all logins of the host; one that is made in a guest is lost when it stops",
}
"""Limits of each way in which guests use logins."""

_CLOUDS = ("CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX", "CLAUDE_CODE_USE_FOUNDRY")
_WIDE = 0o077
_ADVICE = "log in on the host with `claude`, or in a guest with /login"


def checks(settings: Settings, environ: Mapping[str, str]) -> list[Check]:
    """Return the checks of the logins. No credential is in any of them."""
    try:
        way = logins.mode(settings)
    except ConfigError as error:
        return [Check("login", Status.FAIL, error.message, error.hint)]
    found = [
        Check("login", Status.OK, f"{way} ({_reason(settings)})"),
        Check("turned off", Status.OK, TURNED_OFF[way]),
    ]
    found += _credentials(settings, environ, way)
    found += _keys(settings, environ, way)
    found += _base(settings, environ, way)
    found += _conflicts(settings, environ)
    found += _git(settings, way)
    return found


def _reason(settings: Settings) -> str:
    if settings.login != "auto":
        return "as set"
    return f"automatic, because egress is {egress.mode(settings).value}"


def _credentials(settings: Settings, environ: Mapping[str, str], way: str) -> Iterator[Check]:
    path = logins.credentials(settings, environ)
    agent = AGENTS.get(settings.agent)
    if path is None or agent is None or agent.login.subscription is None:
        yield Check("subscription", Status.OK, f"not supported for the agent {settings.agent}")
        return
    tokens = _json(path).get(agent.login.subscription.member)
    if not isinstance(tokens, dict):
        yield Check("subscription", Status.OK, f"none: {path} does not exist, or has no login", _ADVICE)
        return
    use = "" if way == logins.BROKER else ", not used"
    plan = tokens.get("subscriptionType") or "unknown plan"
    expires = tokens.get("expiresAt")
    left = expires / 1000 - time.time() if isinstance(expires, int | float) else 0.0
    state = f"valid for {left / 3600:.1f} h" if left > 0 else "expired, so it will be refreshed"
    yield Check("subscription", Status.OK, f"{str(plan)[:40]}, {state} ({path}{use})")
    if path.stat().st_mode & _WIDE:
        yield Check("permissions", Status.WARN, f"{path} can be read by others", f"`chmod 600 {path}`")
    if not os.access(path.parent, os.W_OK):
        detail = f"{path.parent} is not writable, so a refreshed login cannot be stored"
        yield Check("directory", Status.WARN, detail, "log in where keepers can write, or set login to key")


def _keys(settings: Settings, environ: Mapping[str, str], way: str) -> Iterator[Check]:
    known = {key.variable: key for agent in AGENTS.values() for key in agent.login.keys}
    for name in key_variables(settings):
        if not environ.get(name):
            continue
        if way == logins.NONE:
            yield Check(name, Status.OK, "set, not passed to guests")
        elif way == logins.KEY:
            yield Check(name, Status.WARN, "set; sessions receive it", "set login to broker to keep it on the host")
        elif name in known:
            hosts = ", ".join(dict.fromkeys(place.host for place in known[name].places))
            yield Check(name, Status.OK, f"set; guests have a placeholder, for {hosts}")
        else:
            fix = "remove it from api_key_variables, if guests do not need it"
            yield Check(name, Status.WARN, "set; its hosts are not known, so sessions receive it", fix)


def _base(settings: Settings, environ: Mapping[str, str], way: str) -> Iterator[Check]:
    for name in logins.base_variables(settings):
        if not (url := environ.get(name)):
            continue
        if way != logins.BROKER:
            yield Check(name, Status.WARN, "set, not passed to guests", "set login to broker")
            continue
        if rules := logins.base_rules(settings, {name: url}):
            yield Check(name, Status.OK, f"set; logins are also used for {rules[0]}, which guests can reach")
            continue
        host = urlsplit(url).hostname or "?"
        detail = f"set, to {host}; placeholders are replaced only for names with https"
        yield Check(name, Status.WARN, detail, "use a name with https, or set login to key")


def _git(settings: Settings, way: str) -> Iterator[Check]:
    if not settings.login_git:
        return
    if way != logins.BROKER:
        yield Check("login_git", Status.WARN, "login_git is set, and only used with the broker", "set login to broker")
    else:
        yield Check("login_git", Status.OK, f"logged in over HTTPS for {', '.join(settings.login_git)}")


def _conflicts(settings: Settings, environ: Mapping[str, str]) -> Iterator[Check]:
    agent = AGENTS.get(settings.agent)
    if agent is None or agent.login.subscription is None:
        return
    if environ.get(AUTH_TOKEN) and AUTH_TOKEN not in key_variables(settings):
        detail = "set; on the host it precedes every other login, and guests do not have it"
        yield Check(AUTH_TOKEN, Status.WARN, detail, f"add it to api_key_variables, or `unset {AUTH_TOKEN}`")
    home = environ.get("HOME") or str(Path.home())
    settings_file = Path(agent.directory.on_host(environ, home)) / "settings.json"
    if _json(settings_file).get("apiKeyHelper"):
        detail = f"set in {settings_file}; on the host it precedes a subscription, and it does not run in guests"
        yield Check("apiKeyHelper", Status.WARN, detail, "set the variable of the key it prints, or remove it")
    for name in _CLOUDS:
        if environ.get(name):
            detail = "set; credentials of the cloud provider do not cross, so guests do not use it"
            yield Check(name, Status.WARN, detail, "use a key or a subscription in guests")
    path = logins.credentials(settings, environ)
    if environ.get("ANTHROPIC_API_KEY") and path is not None and path.exists():
        detail = "there are an API key and a subscription; Claude Code prefers the key once its use was approved"
        yield Check("precedence", Status.WARN, detail, "`unset ANTHROPIC_API_KEY` to use the subscription")


def _json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file, which is empty if there is none."""
    try:
        parsed = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return parsed if isinstance(parsed, dict) else {}
