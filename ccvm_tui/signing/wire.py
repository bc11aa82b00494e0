"""The part of the protocol of SSH agents that guests may use (draft-ietf-sshm-ssh-agent): listing keys, and signing.

A message is a 32-bit big-endian length followed by that many bytes, the first of which is the type. Fields use the
representations of SSH (RFC 4251, section 5). All functions are pure, and what they parse may be hostile.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

VARIABLE = "SSH_AUTH_SOCK"
"""The variable with the path of an agent's socket (ssh-agent(1))."""

FAILURE, REQUEST_IDENTITIES, IDENTITIES_ANSWER, SIGN_REQUEST, SIGN_RESPONSE = 5, 11, 12, 13, 14
"""The types of messages."""

MESSAGE_MAX = 256 << 10
"""Maximum length of a message in bytes, as in OpenSSH."""

IDENTITIES_MAX = 2048
"""Maximum number of keys, as in OpenSSH."""

SIGN_FLAGS = 2 | 4
"""The flags of a request to sign: RSA with SHA-256, and with SHA-512."""

REFUSED = bytes([FAILURE])
"""The answer to a request that is not carried out."""

_LENGTH = 4


class Malformed(ValueError):
    """A message is not valid, or is none of those that are allowed."""


@dataclass(frozen=True)
class Identity:
    """A key of the agent: its public key as in RFC 4253, section 6.6, or a certificate, and its comment."""

    key: bytes
    comment: str


@dataclass(frozen=True)
class SignRequest:
    """A request to sign ``data`` with the key ``key``."""

    key: bytes
    data: bytes = field(repr=False)
    flags: int = 0


class Fields:
    """The fields of ``data``, from the first to the last. All methods raise Malformed if the next one is not valid."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def raw(self, count: int) -> bytes:
        """Return the next ``count`` bytes."""
        piece = self._data[self._at : self._at + count]
        if len(piece) < count:
            raise Malformed("a field is incomplete")
        self._at += count
        return piece

    def byte(self) -> int:
        """Return a byte."""
        return self.raw(1)[0]

    def number(self) -> int:
        """Return a uint32."""
        return int(struct.unpack(">I", self.raw(_LENGTH))[0])

    def string(self) -> bytes:
        """Return a string."""
        return self.raw(self.number())

    def end(self) -> None:
        """Check that there are no more fields."""
        if self._at != len(self._data):
            raise Malformed("there is something after the last field")


class Messages:
    """Messages from a stream of bytes."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Return the messages that are complete after ``data``. Raises Malformed for an invalid length."""
        self._data += data
        messages = []
        while len(self._data) >= _LENGTH:
            length = int.from_bytes(self._data[:_LENGTH], "big")
            if not 0 < length <= MESSAGE_MAX:
                raise Malformed(f"a message has {length:,} bytes")
            if len(self._data) < _LENGTH + length:
                break
            messages.append(bytes(self._data[_LENGTH : _LENGTH + length]))
            del self._data[: _LENGTH + length]
        return messages


def framed(message: bytes) -> bytes:
    """Return a message with its length."""
    return struct.pack(">I", len(message)) + message


def string(data: bytes) -> bytes:
    """Return the representation of a string."""
    return struct.pack(">I", len(data)) + data


def parse_sign_request(message: bytes) -> SignRequest:
    """Return the request in ``message``. Raises Malformed if it is not one, or has unknown flags."""
    fields = _fields(message, SIGN_REQUEST)
    request = SignRequest(fields.string(), fields.string(), fields.number())
    fields.end()
    if request.flags & ~SIGN_FLAGS:
        raise Malformed("a request to sign has unknown flags")
    return request


def pack_sign_request(request: SignRequest) -> bytes:
    """Return ``request`` as a message."""
    return bytes([SIGN_REQUEST]) + string(request.key) + string(request.data) + struct.pack(">I", request.flags)


def parse_identities(message: bytes) -> tuple[Identity, ...]:
    """Return the keys in the answer ``message``. Raises Malformed if it is not one."""
    fields = _fields(message, IDENTITIES_ANSWER)
    count = fields.number()
    if count > IDENTITIES_MAX:
        raise Malformed(f"the agent lists {count:,} keys")
    found = tuple(Identity(fields.string(), fields.string().decode(errors="surrogateescape")) for _ in range(count))
    fields.end()
    return found


def pack_identities(identities: tuple[Identity, ...]) -> bytes:
    """Return the answer with ``identities`` as a message."""
    pairs = [string(one.key) + string(one.comment.encode(errors="surrogateescape")) for one in identities]
    return bytes([IDENTITIES_ANSWER]) + struct.pack(">I", len(pairs)) + b"".join(pairs)


def parse_signature(message: bytes) -> bytes:
    """Return the signature in the answer ``message``. Raises Malformed if it is not one."""
    fields = _fields(message, SIGN_RESPONSE)
    signature = fields.string()
    fields.end()
    return signature


def pack_signature(signature: bytes) -> bytes:
    """Return the answer with ``signature`` as a message."""
    return bytes([SIGN_RESPONSE]) + string(signature)


def _fields(message: bytes, kind: int) -> Fields:
    fields = Fields(message)
    if fields.byte() != kind:
        raise Malformed("a message has another type")
    return fields
