"""The policy: names, addresses and ports to verdicts."""

from __future__ import annotations

import ipaddress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccvm_tui.egress import hosts
from ccvm_tui.egress.policy import Effect, Mode, Policy, Rule, parse_rule, parse_rules

names = st.from_regex(r"[a-z][a-z0-9]{0,5}(\.[a-z][a-z0-9]{0,5}){1,3}", fullmatch=True)
ports = st.integers(1, 65535)
addresses = st.ip_addresses()


def allowlist(*rules: str, mode: Mode = Mode.ALLOWLIST) -> Policy:
    return Policy(mode, parse_rules(rules))


@pytest.mark.parametrize(
    ("rule", "name", "port", "allowed"),
    [
        ("example.com", "example.com", 443, True),
        ("EXAMPLE.com.", "example.com", 443, True),
        ("example.com", "example.com", 80, False),
        ("example.com", "a.example.com", 443, False),
        ("example.com", "notexample.com", 443, False),
        ("*.example.com", "a.example.com", 443, True),
        ("*.example.com", "a.b.example.com", 443, True),
        ("*.example.com", "example.com", 443, False),
        ("*.example.com", "xexample.com", 443, False),
        ("example.com:80", "example.com", 80, True),
        ("example.com:80", "example.com", 443, False),
        ("bücher.example", "xn--bcher-kva.example", 443, True),
        ("192.0.2.0/24", "192.0.2.7", 443, True),
        ("192.0.2.7:22", "192.0.2.7", 22, True),
        ("[2001:db8::1]:22", "2001:db8::1", 22, True),
        ("2001:db8::1", "2001:db8:0::1", 443, True),
        ("192.0.2.7", "192.0.2.8", 443, False),
    ],
)
def test_a_rule_lists_exactly_its_hosts(rule: str, name: str, port: int, allowed: bool) -> None:
    assert allowlist(rule).for_host(hosts.parse(name), port).allowed is allowed


@pytest.mark.parametrize(
    "text",
    ["", "*", "*.", "*.127.0.0.1", "a.*.com", "example.com:0", "example.com:99999", "10.0.0.0/33", "a b", "http://a"],
)
def test_what_is_not_a_rule_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_rule(text)


@given(names, ports, st.sampled_from(["allow", "ask", "deny"]))
def test_a_rule_is_printed_as_it_is_written(name: str, port: int, effect: str) -> None:
    for text in (name, f"*.{name}", f"{name}:{port}", "10.0.0.0/8", "10.1.2.3", f"[2001:db8::1]:{port}"):
        rule = parse_rule(text, Effect(effect))
        assert parse_rule(str(rule), Effect(effect)) == rule


@given(names, ports, st.permutations(["allow", "ask", "deny"]), st.sampled_from(Mode))
def test_deny_precedes_ask_and_ask_precedes_allow(name: str, port: int, order: list[str], mode: Mode) -> None:
    rules = tuple(Rule(name, port, Effect(effect)) for effect in order)
    assert Policy(mode, rules).for_host(name, port).effect is Effect.DENY
    without = tuple(rule for rule in rules if rule.effect is not Effect.DENY)
    expected = Effect.DENY if mode is Mode.NONE else Effect.ASK
    assert Policy(mode, without).for_host(name, port).effect is expected


@given(names, ports)
def test_what_is_not_listed_depends_on_the_mode(name: str, port: int) -> None:
    effects = {mode: Policy(mode).for_host(name, port).effect for mode in Mode if mode is not Mode.OPEN}
    assert effects == {
        Mode.PUBLIC: Effect.ALLOW, Mode.ALLOWLIST: Effect.DENY, Mode.ASK: Effect.ASK, Mode.NONE: Effect.DENY,
    }  # fmt: skip


@given(names, addresses, ports, st.sampled_from([Mode.PUBLIC, Mode.ALLOWLIST, Mode.ASK]))
def test_a_special_address_is_refused_unless_it_is_listed(
    name: str, address: hosts.Address, port: int, mode: Mode
) -> None:
    policy = Policy(mode, (Rule(name, port),))
    assert policy.for_address(address, port).allowed is not bool(hosts.special(address))
    listing = policy.with_rule(parse_rule(hosts.text(hosts.plain(address), port)))
    assert listing.for_address(address, port).allowed
    assert listing.for_host(hosts.plain(address), port).allowed


def test_a_network_can_be_listed() -> None:
    policy = allowlist("10.0.0.0/8", mode=Mode.PUBLIC)
    assert policy.for_address(ipaddress.ip_address("10.1.2.3"), 5432).allowed
    assert not policy.for_address(ipaddress.ip_address("192.168.1.1"), 5432).allowed


def test_a_denied_address_is_refused_even_for_an_allowed_name() -> None:
    policy = replace(allowlist("example.com"), rules=parse_rules(["192.0.2.0/24"], Effect.DENY))
    assert not policy.for_address(ipaddress.ip_address("192.0.2.1"), 443).allowed


@given(names, addresses, ports)
def test_a_refusal_names_an_option_that_helps(name: str, address: hosts.Address, port: int) -> None:
    policy = allowlist("other.example")
    option, rule = policy.for_host(name, port).remedy.split(" ")
    assert option == "--allow"
    assert policy.with_rule(parse_rule(rule)).for_host(name, port).allowed
    if hosts.special(address):
        option, rule = policy.for_address(address, port).remedy.split(" ")
        assert policy.with_rule(parse_rule(rule)).for_address(address, port).allowed
    denying = policy.with_rule(Rule(name, None, Effect.DENY))
    option, rule = denying.for_host(name, port).remedy.split(" ")
    assert option == "--forget"
    assert denying.without_rule(parse_rule(rule)).for_host(name, port) == policy.for_host(name, port)


@given(names)
def test_a_name_that_is_not_allowed_is_not_looked_up(name: str) -> None:
    assert not Policy(Mode.ALLOWLIST).allows_lookup(name)
    assert not Policy(Mode.ASK).allows_lookup(name)
    assert not Policy(Mode.NONE).allows_lookup(name)
    assert Policy(Mode.PUBLIC).allows_lookup(name)
    assert Policy(Mode.ALLOWLIST, (Rule(name, 22),)).allows_lookup(name)
    assert not Policy(Mode.PUBLIC, (Rule(name, None, Effect.DENY),)).allows_lookup(name)
