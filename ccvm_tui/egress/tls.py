"""The first message of a TLS client: its server name, without decrypting anything.

Sources: RFC 8446, 4.1.2 and 5.1; RFC 6066, 3; RFC 9849 for encrypted client hellos; RFC 8446, 6 for alerts.
"""

from __future__ import annotations

from dataclasses import dataclass

RECORD = 0x16
"""The first byte of a client's first record (handshake)."""

HELLO_MAX = 1 << 16
"""Maximum length of the records with a client hello in bytes."""

ACCESS_DENIED = b"\x15\x03\x03\x00\x02\x02\x31"
"""A fatal alert: "access denied". Clients print its name, which is all that a server without a certificate can say."""

_CLIENT_HELLO = 1
_SERVER_NAME, _ENCRYPTED_HELLO = 0, 0xFE0D
_HOST_NAME = 0
_HEAD = 5


class NotTls(ValueError):
    """The bytes are not a client hello."""


@dataclass(frozen=True, slots=True)
class ClientHello:
    """The fields of a client hello that matter here. ``server_name`` is None if there is none."""

    server_name: str | None
    encrypted: bool


def parse(data: bytes) -> ClientHello | None:
    """Return the client hello at the start of ``data``, or None if more data is needed. Raises NotTls."""
    message = bytearray()
    at = 0
    while True:
        if len(data) - at < _HEAD:
            _check_incomplete(data)
            return None
        length = int.from_bytes(data[at + 3 : at + 5], "big")
        if data[at] != RECORD or data[at + 1] != 3 or not 0 < length <= 1 << 14:
            raise NotTls("not a handshake")
        message += data[at + _HEAD : at + _HEAD + length]
        at += _HEAD + length
        if len(message) >= 4:
            if message[0] != _CLIENT_HELLO:
                raise NotTls("not a client hello")
            needed = 4 + int.from_bytes(message[1:4], "big")
            if needed > HELLO_MAX:
                raise NotTls("too long")
            if len(message) >= needed:
                return _parse_hello(bytes(message[4:needed]))
        if len(data) < at:
            _check_incomplete(data)
            return None


def _check_incomplete(data: bytes) -> None:
    """Check the beginning of records. Raises NotTls if no further data can make them a client hello."""
    if data and data[0] != RECORD:
        raise NotTls("not a handshake")
    if len(data) > HELLO_MAX:
        raise NotTls("too long")


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> bytes:
        taken = self._data[self._at : self._at + count]
        if len(taken) < count:
            raise NotTls("cut short")
        self._at += count
        return taken

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def vector(self, size: int) -> bytes:
        """Take a length of ``size`` bytes and as many bytes."""
        return self.take(self.number(size))

    def __bool__(self) -> bool:
        return self._at < len(self._data)


def _parse_hello(body: bytes) -> ClientHello:
    reader = _Reader(body)
    reader.take(2 + 32)
    for size in (1, 2, 1):  # session id, cipher suites, compression methods
        reader.vector(size)
    name = None
    encrypted = False
    extensions = _Reader(reader.vector(2)) if reader else _Reader(b"")
    seen = set()
    while extensions:
        kind, value = extensions.number(2), extensions.vector(2)
        if kind in seen:
            raise NotTls("an extension twice")
        seen.add(kind)
        if kind == _SERVER_NAME:
            name = _server_name(value)
        elif kind == _ENCRYPTED_HELLO:
            encrypted = True
    return ClientHello(name, encrypted)


def _server_name(value: bytes) -> str:
    names = _Reader(_Reader(value).vector(2))
    if names.number(1) != _HOST_NAME:
        raise NotTls("not a host name")
    name = names.vector(2)
    if names or not name.isascii():
        raise NotTls("not one host name")
    return name.decode()
