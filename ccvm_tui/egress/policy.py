"""The policy of a guest's egress: a pure function from a name, an address and a port to a verdict.

The verdict about a name comes first, from rules. Then the name is resolved, and each address must pass as well: one
that is not on the internet is refused, unless a rule lists that very address. So a name that anyone controls cannot
lead to this machine or its network.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from ccvm_tui.egress import hosts
from ccvm_tui.egress.hosts import Address, Host, InvalidHost, Network

HTTPS, HTTP = 443, 80


class Mode(StrEnum):
    """The kinds of egress."""

    OPEN = "open"
    """QEMU's network, which reaches everything that this machine reaches. Nothing is enforced or recorded."""
    PUBLIC = "public"
    """All hosts on the internet, on all ports."""
    ALLOWLIST = "allowlist"
    """Listed hosts only."""
    ASK = "ask"
    """Listed hosts, and the user decides about the others."""
    NONE = "none"
    """No connection at all."""

    @property
    def by_name(self) -> bool:
        """True if the name decides, so that no other name may be used on an allowed connection."""
        return self in (Mode.ALLOWLIST, Mode.ASK)


class Effect(StrEnum):
    """The decision about a connection."""

    ALLOW = "allow"
    ASK = "ask"
    DENY = "deny"


_PRECEDENCE = (Effect.DENY, Effect.ASK, Effect.ALLOW)


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule.

    ``pattern`` is a name, the end of names with a dot in front, or a network. Without a ``port``, the rule is about the
    policy's ports.
    """

    pattern: str | Network
    port: int | None = None
    effect: Effect = Effect.ALLOW

    def matches(self, host: Host) -> bool:
        """Return whether the rule is about ``host``."""
        if isinstance(host, str):
            if not isinstance(self.pattern, str):
                return False
            return host.endswith(self.pattern) if self.pattern.startswith(".") else host == self.pattern
        if isinstance(self.pattern, str):
            return False
        return host.version == self.pattern.version and host in self.pattern

    def __str__(self) -> str:
        if isinstance(self.pattern, str):
            name = f"*{self.pattern}" if self.pattern.startswith(".") else self.pattern
        else:
            single = self.pattern.prefixlen == self.pattern.max_prefixlen
            name = str(self.pattern.network_address) if single else str(self.pattern)
        if self.port is None:
            return name
        return f"[{name}]:{self.port}" if ":" in name else f"{name}:{self.port}"


_WITH_PORT = re.compile(r"(\[[^\]]*\]|[^:\[\]]*):([0-9]{1,5})")


def parse_rule(text: str, effect: Effect = Effect.ALLOW) -> Rule:
    """Parse a rule: ``example.com``, ``*.example.com``, an address, or a network (``192.0.2.0/24``).

    Each can end with ``:port``. A wildcard covers all names below it, but not the name itself. Raises ValueError, with
    a phrase for the user, if the text is not a rule.
    """
    text = text.strip()
    port = None
    if (found := _WITH_PORT.fullmatch(text)) is not None:
        text, port = found[1], int(found[2])
        if not 0 < port < 1 << 16:
            raise ValueError(f"{port} is not a port")
    if "/" in text:
        try:
            return Rule(ipaddress.ip_network(text.strip("[]")), port, effect)
        except ValueError:
            raise ValueError(f"{text!r} is not a network such as 192.0.2.0/24") from None
    try:
        host = hosts.parse(text.removeprefix("*."))
    except InvalidHost as error:
        raise ValueError(f"{error}; write example.com, *.example.com or an address, or each with :port") from None
    if isinstance(host, str):
        return Rule(f".{host}" if text.startswith("*.") else host, port, effect)
    if text.startswith("*."):
        raise ValueError(f"{text!r} is neither a name nor an address")
    return Rule(ipaddress.ip_network(host), port, effect)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of the policy.

    ``rule`` names what decided. ``reason`` explains a refusal to the user, and ``remedy`` is the option of ``ccvm-tui
    egress`` that would allow the connection, or empty if there is none. ``address`` is the one that they name; the
    guest knows it only if it asked for that very address.
    """

    effect: Effect
    rule: str
    reason: str = ""
    remedy: str = ""
    address: Address | None = None

    @property
    def allowed(self) -> bool:
        """True if the connection may be made."""
        return self.effect is Effect.ALLOW


def _by_rule(rule: Rule) -> Verdict:
    if rule.effect is not Effect.DENY:
        return Verdict(rule.effect, str(rule))
    return Verdict(rule.effect, str(rule), f"the rule {rule} denies it", f"--forget {rule}")


@dataclass(frozen=True, slots=True)
class Policy:
    """The policy of one guest.

    ``ports`` are those of rules without a port. ``own`` are this machine's networks.
    """

    mode: Mode
    rules: tuple[Rule, ...] = ()
    ports: tuple[int, ...] = (HTTPS,)
    own: tuple[Network, ...] = ()

    def with_rule(self, rule: Rule) -> Policy:
        """Return the policy with one more rule, which replaces those about the same host and port."""
        return replace(self, rules=(rule, *self.without_rule(rule).rules))

    def without_rule(self, rule: Rule) -> Policy:
        """Return the policy without the rules about the host and port of ``rule``."""
        kept = [old for old in self.rules if (old.pattern, old.port) != (rule.pattern, rule.port)]
        return replace(self, rules=tuple(kept))

    def for_host(self, host: Host, port: int) -> Verdict:
        """Return the verdict about a name or an address that a program wants to connect to."""
        if self.mode is Mode.NONE:
            return Verdict(Effect.DENY, "none", "this guest has no network")
        for effect in _PRECEDENCE:
            for rule in self.rules:
                if rule.effect is effect and rule.matches(host) and self._about_port(rule, port):
                    return _by_rule(rule)
        if self.mode is Mode.PUBLIC:
            return Verdict(Effect.ALLOW, "public")
        listed = [rule for rule in self.rules if rule.effect is Effect.ALLOW and rule.matches(host)]
        if self.mode is Mode.ASK:
            return Verdict(Effect.ASK, "ask")
        reason = f"port {port} is not listed for it" if listed else "it is not on the allowlist"
        return Verdict(Effect.DENY, "allowlist", reason, f"--allow {hosts.text(host, port)}")

    def _about_port(self, rule: Rule, port: int) -> bool:
        if rule.port is not None:
            return rule.port == port
        return rule.effect is Effect.DENY or self.mode is Mode.PUBLIC or port in self.ports

    def for_address(self, address: Address, port: int) -> Verdict:
        """Return the verdict about an address to which an allowed name leads, or about one that was allowed itself."""
        address = hosts.plain(address)
        about = [rule for rule in self.rules if rule.matches(address) and rule.port in (None, port)]
        for rule in about:
            if rule.effect is Effect.DENY:
                return _by_rule(rule)
        kind = hosts.special(address, self.own)
        if not kind:
            return Verdict(Effect.ALLOW, "public")
        for rule in about:
            if rule.effect is Effect.ALLOW:
                return Verdict(Effect.ALLOW, str(rule))
        remedy = f"--allow {hosts.text(address, port)}"
        return Verdict(Effect.DENY, kind, f"its address {address} is {kind}", remedy, address)

    def allows_lookup(self, name: str) -> bool:
        """Return whether the resolver may be asked for ``name``, because a connection to some port of it is allowed."""
        matching = [rule for rule in self.rules if rule.matches(name)]
        if any(rule.effect is Effect.DENY and rule.port is None for rule in matching):
            return False
        return self.mode is Mode.PUBLIC or any(rule.effect is Effect.ALLOW for rule in matching)

    def denies(self, host: Host, port: int, address: Address) -> bool:
        """Return whether a rule denies a connection to ``host`` that has been made to ``address``."""
        return any(
            rule.effect is Effect.DENY
            and self._about_port(rule, port)
            and (rule.matches(host) or rule.matches(hosts.plain(address)))
            for rule in self.rules
        )


def parse_rules(texts: Iterable[str], effect: Effect = Effect.ALLOW) -> tuple[Rule, ...]:
    """Parse several rules; see ``parse_rule``."""
    return tuple(parse_rule(text, effect) for text in texts)
