"""Names and addresses in every spelling."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccvm_tui.egress import hosts
from ccvm_tui.egress.hosts import InvalidHost

LOOPBACK = ipaddress.ip_address("127.0.0.1")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Example.COM", "example.com"),
        ("example.com.", "example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("XN--BCHER-KVA.example", "xn--bcher-kva.example"),
        ("ｅｘａｍｐｌｅ。com", "example.com"),
        ("_srv.example.com", "_srv.example.com"),
        ("localhost", "localhost"),
    ],
)
def test_a_name_has_one_form(text: str, expected: str) -> None:
    assert hosts.parse(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7F.1", "0177.0.0.1", "0177.0.0.0x1",
        "127.0.0.1.", "017700000001", "[::ffff:127.0.0.1]", "::ffff:7f00:1", "１２７.０.０.１", "127。0。0。1",
    ],
)  # fmt: skip
@pytest.mark.attack
def test_every_spelling_of_an_address_is_that_address(text: str) -> None:
    assert hosts.parse(text) == LOOPBACK


@pytest.mark.parametrize(
    "text",
    [
        "", ".", "..", "a..b", "-a.example", "a-.example", "a b", "a/b", "a@b", "a:80", "*.example.com", "1.2.3.4.5",
        "example.1", "256.256.256.256", "fe80::1%eth0", "[127.0.0.1]", "[::1", "a\0.example", "a" * 64,
        "a." * 127 + "ab", "faß.example", "a\u200db.example", "\ud800.example", "exa%6dple.com",
    ],
)  # fmt: skip
@pytest.mark.attack
def test_what_is_not_understood_leads_nowhere(text: str) -> None:
    with pytest.raises(InvalidHost):
        hosts.parse(text)


@given(st.text(max_size=300))
def test_the_form_of_a_form_is_itself(text: str) -> None:
    try:
        host = hosts.parse(text)
    except InvalidHost:
        return
    assert hosts.parse(str(host)) == host
    assert str(host).isascii()


@given(st.ip_addresses())
def test_the_usual_notation_of_an_address_is_parsed(address: hosts.Address) -> None:
    assert hosts.parse(str(address)) == hosts.plain(address)


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1", "127.255.255.254", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1",
        "169.254.169.254", "169.254.1.1", "100.64.0.1", "100.127.255.255", "100.100.100.200", "168.63.129.16",
        "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "198.18.0.1", "192.0.0.8",
        "::1", "::", "fe80::1", "fc00::1", "fdff::1", "fd00:ec2::254", "fec0::1", "ff02::1", "::127.0.0.1",
        "::ffff:10.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1", "2002:7f00:1::", "2002:808:808::1",
        "2001:0:1::1", "100::1",
    ],
)  # fmt: skip
def test_an_address_that_is_not_on_the_internet_is_special(text: str) -> None:
    assert hosts.special(ipaddress.ip_address(text))


@pytest.mark.parametrize(
    "text",
    [
        "1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.0", "172.32.0.1", "192.169.0.1", "169.253.0.1",
        "2606:4700::1111", "2a00:1450::1", "::ffff:8.8.8.8", "64:ff9b::808:808",
    ],
)  # fmt: skip
def test_an_address_on_the_internet_is_not_special(text: str) -> None:
    assert hosts.special(ipaddress.ip_address(text)) == ""


@given(st.ip_addresses())
def test_an_address_that_python_calls_private_is_special(address: hosts.Address) -> None:
    documentation = ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20")
    if any(address in ipaddress.ip_network(network) for network in documentation):
        return
    if address.is_private or address.is_link_local or address.is_loopback or address.is_multicast:
        assert hosts.special(address)


def test_the_addresses_of_this_machine_are_special() -> None:
    own = (ipaddress.ip_network("203.0.113.5/32"), ipaddress.ip_network("2a00:1:2:3::/64"))
    assert hosts.special(ipaddress.ip_address("203.0.113.5"), own)
    assert hosts.special(ipaddress.ip_address("2a00:1:2:3::99"), own)
    assert not hosts.special(ipaddress.ip_address("203.0.113.6"), own)
