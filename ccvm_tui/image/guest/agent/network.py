"""Configuration of the network card, without DHCP.

With an open network it is QEMU's, with the fixed addresses of its user network (slirp). Otherwise it is one of the
module ``dummy`` with the same address, so that programs see a network; the gate receives their connections.
"""

from __future__ import annotations

import fcntl
import os
import struct

# The socket module takes ten times as long to import.
from _socket import AF_INET, SOCK_DGRAM, inet_aton, socket

from .files import write

DUMMY = "dummy0"
"""The card that the module ``dummy`` creates."""

ADDRESS, NETMASK, GATEWAY, NAMESERVER = "10.0.2.15", "255.255.255.0", "10.0.2.2", "10.0.2.3"

PROXY = ("127.0.0.1", 3128)
"""The address of the gate's proxy, for programs that are configured to use one."""

GATE_RECORD = "/run/ccvm/gate.pid"
"""The file with the pid of the gate, if there is one."""

# netdevice(7) and rtentry(7); numbers from linux/sockios.h
_SIOCADDRT = 0x890B
_SIOCGIFFLAGS = 0x8913
_SIOCSIFFLAGS = 0x8914
_SIOCSIFADDR = 0x8916
_SIOCSIFNETMASK = 0x891C
_IFF_UP = 1
_RTF_UP_GATEWAY = 3
_RTENTRY = "@L16s16s16sHhLPhPLLH6x"


def raise_loopback() -> None:
    """Bring up the loopback interface."""
    control = socket(AF_INET, SOCK_DGRAM, 0)
    _up(control, "lo")
    control.close()


def configure() -> None:
    """Set up the card's address, the default route and the name server. Raises OSError if there is no card."""
    card = next((name for name in sorted(os.listdir("/sys/class/net")) if name not in ("lo", DUMMY)), None)
    if card is None:
        raise OSError("the host gave this guest no network card")
    control = _set_address(card, NETMASK)
    default, gateway = _address("0.0.0.0"), _address(GATEWAY)
    route = struct.pack(_RTENTRY, 0, default, gateway, default, _RTF_UP_GATEWAY, 0, 0, 0, 0, 0, 0, 0, 0)
    fcntl.ioctl(control.fileno(), _SIOCADDRT, route)
    control.close()
    write("/etc/resolv.conf", f"nameserver {NAMESERVER}\n")


def configure_dummy() -> None:
    """Set up the address of the dummy card and the name server. Raises OSError if there is no such card."""
    _set_address(DUMMY, "255.255.255.255").close()
    write("/etc/resolv.conf", f"nameserver {NAMESERVER}\n")


def _set_address(card: str, netmask: str) -> socket:
    control = socket(AF_INET, SOCK_DGRAM, 0)
    fcntl.ioctl(control.fileno(), _SIOCSIFADDR, _request(card, _address(ADDRESS)))
    fcntl.ioctl(control.fileno(), _SIOCSIFNETMASK, _request(card, _address(netmask)))
    _up(control, card)
    return control


def _up(control: socket, card: str) -> None:
    answer = fcntl.ioctl(control.fileno(), _SIOCGIFFLAGS, _request(card, b""))
    (flags,) = struct.unpack_from("=H", answer, 16)
    fcntl.ioctl(control.fileno(), _SIOCSIFFLAGS, _request(card, struct.pack("=H", flags | _IFF_UP)))


def _request(card: str, payload: bytes) -> bytes:
    return struct.pack("=16s24s", card.encode(), payload)


def _address(text: str) -> bytes:
    return struct.pack("=HH4s8x", AF_INET, 0, inet_aton(text))
