"""The egress of a guest, derived from settings: the kind, and the rules with those of presets and agents."""

from __future__ import annotations

from collections.abc import Mapping

from ccvm_tui.agents import AGENTS
from ccvm_tui.agents.table import ALWAYS_REACHABLE
from ccvm_tui.boot import presets
from ccvm_tui.config import Settings
from ccvm_tui.egress.policy import Mode, parse_rule
from ccvm_tui.errors import ConfigError
from ccvm_tui.outbound import Egress

NO_NETWORK = "none"
"""The value of the setting ``network`` that turns the network off, whatever the egress is."""


def mode(settings: Settings) -> Mode:
    """Return the kind of egress that the settings mean."""
    if settings.network == NO_NETWORK:
        return Mode.NONE
    if settings.egress == "auto":
        return Mode.ALLOWLIST if settings.egress_allowlist else Mode.PUBLIC
    return Mode(settings.egress)


def reachable(settings: Settings) -> tuple[str, ...]:
    """Return the hosts that are listed: the agent's and the user's, with presets replaced by their hosts.

    Raises ConfigError if a preset's hosts are not known on this machine.
    """
    agent = AGENTS.get(settings.agent)
    own = agent.hosts if agent is not None else ()
    listed = (host for entry in settings.egress_allowlist for host in presets.expand(entry))
    return tuple(dict.fromkeys((*ALWAYS_REACHABLE, *own, *listed)))


def egress(settings: Settings, environ: Mapping[str, str], bases: tuple[str, ...] = ()) -> Egress:
    """Return the parameters of a guest's egress. ``bases`` are further rules, for the hosts of the user's logins.

    Raises ConfigError if a rule is not valid.
    """
    kind = mode(settings)
    # In the other modes, the list is needed for addresses that are not on the internet.
    allow = (*reachable(settings), *bases) if kind not in (Mode.OPEN, Mode.NONE) else ()
    for setting, rules in (("egress_allowlist", allow), ("egress_denylist", settings.egress_denylist)):
        for rule in rules:
            _check(setting, rule)
    proxies = _proxies(environ) if settings.egress_proxy == "auto" else ("", "", "")
    return Egress(kind.value, allow, settings.egress_denylist, settings.egress_ports, *proxies)


def _proxies(environ: Mapping[str, str]) -> tuple[str, str, str]:
    """Return the values of the variables http_proxy, https_proxy and no_proxy, in any of their spellings."""
    everything = environ.get("all_proxy") or environ.get("ALL_PROXY") or ""
    https = environ.get("https_proxy") or environ.get("HTTPS_PROXY") or everything
    http = environ.get("http_proxy") or environ.get("HTTP_PROXY") or everything
    return http, https, environ.get("no_proxy") or environ.get("NO_PROXY") or ""


def _check(setting: str, rule: str) -> None:
    try:
        parse_rule(rule)
    except ValueError as error:
        raise ConfigError(f"{setting}: {error}", "see `ccvm-tui config`") from error
