"""The gate's answers to DNS queries: a synthetic address for each name, by which its connections are recognized.

Only queries for IPv4 addresses have an answer. The others (AAAA, HTTPS, SRV, …) get an empty one, which means that the
name has no such record. Sources: RFC 1035, 4.1; RFC 2544 for the range of addresses.
"""

from __future__ import annotations

import struct

_FIRST = 198 << 24 | 18 << 16
_COUNT = 1 << 17
"""The addresses 198.18.0.0/15, which are reserved for benchmarks, so that no host on the internet has one."""

_TTL = 60
_QUERY, _ADDRESS, _INTERNET, _ANY = 0, 1, 1, 255
_RESPONSE, _RECURSION = 0x8000, 0x0180
FORMAT_ERROR, NOT_IMPLEMENTED = 1, 4
_HEAD = struct.Struct(">6H")


class Query:
    """A DNS query with one question. Raises ValueError if it is malformed or not a standard query."""

    __slots__ = ("_question", "flags", "id", "kind", "name")

    def __init__(self, message: bytes) -> None:
        if len(message) < _HEAD.size:
            raise ValueError("cut short")
        self.id, self.flags, questions, *_ = _HEAD.unpack_from(message)
        if self.flags & 0xF800 or questions != 1:
            raise ValueError("not a query")
        labels = []
        at = _HEAD.size
        while True:
            if at >= len(message):
                raise ValueError("cut short")
            length = message[at]
            if length == 0:
                break
            if length > 63 or at + length >= len(message):
                raise ValueError("a bad label")
            labels.append(message[at + 1 : at + 1 + length])
            at += 1 + length
        if at + 5 > len(message):
            raise ValueError("cut short")
        self.kind, _ = struct.unpack_from(">HH", message, at + 1)
        self._question = message[_HEAD.size : at + 5]
        self.name = b".".join(labels).decode("utf-8", "replace").lower()

    @property
    def wants_address(self) -> bool:
        """True if an IPv4 address answers the query."""
        return self.kind in (_ADDRESS, _ANY)

    def answer(self, code: int = 0, address: bytes = b"") -> bytes:
        """Return the reply with a code (RFC 1035, 4.1.1) and, if it is not empty, an IPv4 address."""
        flags = _RESPONSE | _RECURSION | self.flags & 0x0100 | code
        record = struct.pack(">HHHIH", 0xC00C, _ADDRESS, _INTERNET, _TTL, 4) + address if address else b""
        return _HEAD.pack(self.id, flags, 1, bool(record), 0, 0) + self._question + record


class Addresses:
    """The synthetic addresses of names. If all are used, the oldest name loses its address."""

    def __init__(self) -> None:
        self._names: dict[bytes, str] = {}
        self._addresses: dict[str, bytes] = {}
        self._next = 1

    def address(self, name: str) -> bytes:
        """Return the address of ``name``, which is assigned if there is none yet."""
        if (known := self._addresses.get(name)) is not None:
            return known
        address = (_FIRST + self._next).to_bytes(4, "big")
        self._next = self._next % (_COUNT - 2) + 1
        if (previous := self._names.pop(address, None)) is not None:
            del self._addresses[previous]
        self._names[address] = name
        self._addresses[name] = address
        return address

    def name(self, address: bytes) -> str | None:
        """Return the name that has ``address``, or None if no name has it."""
        return self._names.get(address)

    @staticmethod
    def is_synthetic(address: bytes) -> bool:
        """Return whether ``address`` is in the range of synthetic addresses."""
        return 0 <= int.from_bytes(address, "big") - _FIRST < _COUNT
