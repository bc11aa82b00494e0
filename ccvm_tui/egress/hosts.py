"""Names and addresses in their one canonical form, and the addresses that are not on the internet.

Programs, and an attacker even more so, can write the same host in many ways. Every comparison in this package is made
between the results of ``parse``, and so is every lookup: a spelling that is not understood leads nowhere.

Sources: RFC 1123, 2.1 and RFC 5890 for names, inet_aton(3) and the WHATWG's URL standard ("ends in a number") for the
spellings of IPv4 addresses, and IANA's registries of special-purpose addresses.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Host = str | Address
"""A name in its canonical form, or an address."""

NAME_MAX = 253
"""Maximum length of a name in characters."""

_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_DEVIATIONS = "\u00df\u03c2\u200c\u200d"
"""Characters that the two versions of IDNA (RFC 3490, RFC 5891) convert to different names."""


class InvalidHost(ValueError):
    """The text is neither a name nor an address."""


def parse(text: str) -> Host:
    """Return the host that ``text`` means: an address in any spelling, or a name in lower case, in its ASCII form.

    Brackets around an IPv6 address and a dot at the end are accepted. Raises InvalidHost for everything else.
    """
    if text.startswith("[") and text.endswith("]"):
        return _ipv6(text[1:-1])
    if ":" in text:
        return _ipv6(text)
    name = _ascii(text).removesuffix(".")
    labels = name.split(".")
    if len(name) > NAME_MAX or not all(_LABEL.fullmatch(label) for label in labels):
        raise InvalidHost(f"not a host name: {text[:NAME_MAX]!r}")
    if _NUMBER.fullmatch(labels[-1]):
        return _ipv4(name)
    return name


def _ascii(text: str) -> str:
    """Return ``text`` in lower case with its labels in ASCII (Punycode)."""
    if text.isascii():
        return text.lower()
    if any(sign in text for sign in _DEVIATIONS):
        raise InvalidHost(f"an ambiguous host name: {text[:NAME_MAX]!r}")
    try:
        return text.encode("idna").decode("ascii").lower()
    except UnicodeError as error:
        raise InvalidHost(f"not a host name: {text[:NAME_MAX]!r}") from error


def _ipv4(text: str) -> ipaddress.IPv4Address:
    """Return the address, of which each part can be decimal, octal or hexadecimal, and the last can have more bytes."""
    try:
        return ipaddress.IPv4Address(socket.inet_aton(text))
    except OSError as error:
        raise InvalidHost(f"not an address: {text[:NAME_MAX]!r}") from error


def _ipv6(text: str) -> Address:
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError as error:
        raise InvalidHost(f"not an address: {text[:NAME_MAX]!r}") from error
    if address.scope_id is not None:
        raise InvalidHost(f"an address with a zone: {text[:NAME_MAX]!r}")
    return plain(address)


def plain(address: Address) -> Address:
    """Return the IPv4 address in an IPv4-mapped IPv6 address, or else ``address``."""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def text(host: Host, port: int | None = None) -> str:
    """Return the usual notation of a host, with brackets around an IPv6 address if there is a port."""
    if port is None:
        return str(host)
    return f"[{host}]:{port}" if isinstance(host, ipaddress.IPv6Address) else f"{host}:{port}"


def _networks(kind: str, *networks: str) -> dict[Network, str]:
    return {ipaddress.ip_network(network): kind for network in networks}


_SPECIAL: dict[Network, str] = {
    **_networks("a metadata service's", "169.254.169.254/32", "fd00:ec2::254/128", "100.100.100.200/32"),
    **_networks("a metadata service's", "168.63.129.16/32"),
    **_networks("loopback", "127.0.0.0/8", "::1/128"),
    **_networks("this machine's (unspecified)", "0.0.0.0/8", "::/128"),
    **_networks("private", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fec0::/10"),
    **_networks("link-local", "169.254.0.0/16", "fe80::/10"),
    **_networks("shared (CGNAT)", "100.64.0.0/10"),
    **_networks("multicast", "224.0.0.0/4", "ff00::/8"),
    **_networks("reserved", "192.0.0.0/24", "198.18.0.0/15", "240.0.0.0/4"),
    **_networks("reserved", "::/96", "100::/64", "2001::/23", "2002::/16", "5f00::/16"),
    **_networks("private (translated)", "64:ff9b:1::/48"),
}  # fmt: skip
"""The networks that do not belong to the internet, with a name of the kind for the user; the first one that matches
counts. The
ranges for documentation are not listed: no host that matters has such an address."""

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
"""A network whose addresses end with an IPv4 address (RFC 6052)."""


def special(address: Address, own: Iterable[Network] = ()) -> str:
    """Return the kind of an address that is not on the internet, such as "loopback", or an empty string for others.

    ``own`` are the networks of this machine's own addresses.
    """
    address = plain(address)
    for network, kind in _SPECIAL.items():
        if address.version == network.version and address in network:
            return kind
    if address in _NAT64:
        return special(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF), own)
    for network in own:
        if address.version == network.version and address in network:
            return "this machine's own"
    return ""
