"""The TCP ports on which programs of the guest listen and which a connection to ``localhost`` reaches."""

from __future__ import annotations

PORTS_MAX = 100
"""Maximum number of ports that are reported."""

_LISTEN = "0A"
_REACHABLE = frozenset(
    (
        "00000000",  # any address, 127.0.0.1, ::, ::1: each 32-bit word is in the byte order of the processor
        "0100007F",
        "00000000000000000000000000000000",
        "00000000000000000000000001000000",
    )
)


def ports(net: str = "/proc/net") -> list[int]:
    """Return the ports, sorted. Only the beginning of the kernel's lists is read, where the listening sockets are."""
    found = set()
    for name in ("tcp", "tcp6"):
        try:
            with open(f"{net}/{name}") as file:
                next(file, "")
                for line in file:
                    _, local, _, state = line.split(None, 4)[:4]
                    if state != _LISTEN:
                        break
                    address, _, port = local.partition(":")
                    if address in _REACHABLE:
                        found.add(int(port, 16))
        except FileNotFoundError:  # a kernel without IPv6
            continue
    return sorted(found)[:PORTS_MAX]
