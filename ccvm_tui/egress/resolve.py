"""Names to addresses, by the resolver of the host, and connections to exactly the addresses that were checked."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import psutil

from ccvm_tui.egress.hosts import Address, Host, Network, plain

LOOKUP_TIMEOUT = 10.0
"""Seconds for a lookup."""

CONNECT_TIMEOUT = 30.0
"""Seconds for a connection to one address. If there are others, each gets ``NEXT_AFTER``."""

NEXT_AFTER = 4.0

_KEPT = 5.0
"""Seconds for which a result is used again, so that a program's lookup and its connection cause one query."""

_KEPT_MAX = 1000
_LOOKUPS = 8
"""Lookups at a time; the resolver of the C library blocks."""

_OWN_KEPT = 5.0


class NoSuchName(Exception):
    """The name does not exist, or it has no address."""


class LookupFailed(Exception):
    """The host's resolver did not answer."""


class Resolver:
    """The host's resolver, with a short memory."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(_LOOKUPS, thread_name_prefix="lookup")
        self._known: dict[str, tuple[float, tuple[Address, ...]]] = {}

    async def resolve(self, host: Host) -> tuple[Address, ...]:
        """Return the addresses of ``host``, in order of preference. Raises NoSuchName or LookupFailed."""
        if not isinstance(host, str):
            return (host,)
        until, addresses = self._known.get(host, (0.0, ()))
        if until < time.monotonic():
            addresses = await self._look_up(host)
            if len(self._known) >= _KEPT_MAX:
                self._known.clear()
            self._known[host] = time.monotonic() + _KEPT, addresses
        if not addresses:
            raise NoSuchName(host)
        return addresses

    async def _look_up(self, name: str) -> tuple[Address, ...]:
        work = asyncio.get_running_loop().run_in_executor(self._pool, _addresses, name)
        try:
            async with asyncio.timeout(LOOKUP_TIMEOUT):
                return await work
        except TimeoutError:
            raise LookupFailed(name) from None

    def close(self) -> None:
        """Forget all results. Lookups in progress are not waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _addresses(name: str) -> tuple[Address, ...]:
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        if error.errno in (socket.EAI_NONAME, socket.EAI_NODATA):
            return ()
        raise LookupFailed(name) from error
    addresses = (plain(ipaddress.ip_address(str(sockaddr[0]).partition("%")[0])) for *_, sockaddr in found)
    return tuple(dict.fromkeys(addresses))


Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def connect(addresses: Sequence[Address], port: int, limit: int = 1 << 16) -> Connection:
    """Connect to the first of the ``addresses`` that accepts the connection. Raises OSError if none does."""
    error: OSError = OSError("no address")
    for number, address in enumerate(addresses, 1):
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT if number == len(addresses) else NEXT_AFTER):
                return await asyncio.open_connection(str(address), port, limit=limit)
        except TimeoutError:
            error = TimeoutError(f"{address} did not answer")
        except OSError as failure:
            error = failure
    raise error


def own_networks() -> tuple[Network, ...]:
    """Return networks that the internet must not lead to: this machine's addresses, and its IPv6 subnets.

    Hosts of a home's or an office's network usually have IPv6 addresses that look like any on the internet.
    """
    networks: list[Network] = []
    for card in psutil.net_if_addrs().values():
        for entry in card:
            if entry.family not in (socket.AF_INET, socket.AF_INET6):
                continue
            address = ipaddress.ip_address(entry.address.partition("%")[0])
            networks.append(ipaddress.ip_network(address))
            if isinstance(address, ipaddress.IPv6Address) and entry.netmask:
                length = bin(int(ipaddress.IPv6Address(entry.netmask.partition("/")[0]))).count("1")
                if length >= _SUBNET_MIN:
                    networks.append(ipaddress.ip_network((address, length), strict=False))
    return tuple(dict.fromkeys(networks))


_SUBNET_MIN = 48
"""Bits of the prefix of an IPv6 subnet. A shorter one is not that of one site."""


class OwnNetworks:
    """The current result of ``own_networks``, which may change when the user joins another network or a VPN."""

    def __init__(self) -> None:
        self._until = 0.0
        self._networks: tuple[Network, ...] = ()

    def get(self) -> tuple[Network, ...]:
        """Return the networks, as of at most a few seconds ago."""
        if time.monotonic() > self._until:
            self._networks, self._until = own_networks(), time.monotonic() + _OWN_KEPT
        return self._networks
