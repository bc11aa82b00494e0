"""The protocol between the guest's gate and the keeper's proxy, over the virtio-serial port ``ccvm.egress``.

Connections of the guest are streams of one byte stream in each direction. A frame consists of a kind (one byte), the
number of a stream and the length of the body (32 bits each, big-endian), and the body. The gate opens streams; both
ends send data, limited by a window for each stream and direction, so that no stream delays the others.

A gate that was restarted does not know where in the byte stream its predecessor stopped. It first sends ``PADDING``,
which completes any frame, and a HELLO with a nonce. The keeper then drops all streams and sends back MAGIC and the
nonce. The gate discards everything before them.
"""

from __future__ import annotations

import struct

HELLO, OPEN, DATA, END, CLOSE, RESET, WINDOW, LOOKUP, FOUND, WAKE = range(1, 11)
"""Kinds of frames.

``HELLO`` is the decoder's name for MAGIC and the nonce. ``OPEN``: a stream's destination, see ``Destination``.
``DATA``: bytes. ``END``: no more data in this direction. ``CLOSE``: the keeper has ended the stream, and the gate
closes the connection after the data before. ``RESET``: the stream has ended in both directions, and data in transit is
lost. ``WINDOW``: the number of bytes that the receiver has consumed. ``LOOKUP``: a name whose existence the gate asks
about, under a number of its own. ``FOUND``: the reply, a code of DNS (RFC 1035, 4.1.1). ``WAKE``: no meaning; an
emulated guest that missed an interrupt notices that the queue has data.
"""

MAGIC = b"\xa7ccvm egress 1\r\n\x00"
NONCE_BYTES = 16

HEAD_BYTES = 9
PIECE = (32 << 10) - HEAD_BYTES
"""Maximum length of a body in bytes. With its head, a frame is as long as the longest write to a virtio port."""

PADDING = bytes(PIECE + HEAD_BYTES)
"""Bytes that complete any frame and, after that, are not valid as a frame."""

WINDOW_OUT = 128 << 10
"""Bytes per stream that the gate may send before the keeper has consumed them. The keeper buffers them."""

WINDOW_IN = 512 << 10
"""Bytes per stream that the keeper may send before the gate has consumed them. The gate buffers them."""

STREAMS_MAX = 512
"""Maximum number of open streams."""

EXISTS, FAILED, MISSING = 0, 2, 3
"""Codes of FOUND: NOERROR, SERVFAIL, NXDOMAIN."""

NAME_MAX = 1024
"""Maximum length of a destination's name in bytes."""

SESSION_MAX = 20
"""Maximum length of a session's name in bytes."""

_HEAD = struct.Struct(">BII")
_NUMBER = struct.Struct(">I")
_PORT = struct.Struct(">BHB")


class TunnelError(Exception):
    """The peer violated the protocol. The start of the next frame cannot be determined."""


class Destination:
    """The destination of a stream: the ``name`` or address that a program connected to, and the port.

    If ``proxy`` is true, the program connects to a proxy instead: the destination is in its request, and ``name`` is
    empty. ``session`` is the program's session as far as the guest knows it: letters and digits, or empty.
    """

    __slots__ = ("name", "port", "proxy", "session")

    def __init__(self, name: str, port: int, proxy: bool = False, session: str = "") -> None:
        self.name, self.port, self.proxy, self.session = name, port, proxy, session

    def pack(self) -> bytes:
        """Return the body of an OPEN frame."""
        session = self.session.encode("ascii", "replace")[:SESSION_MAX]
        head = _PORT.pack(self.proxy, self.port, len(session))
        return head + session + self.name.encode("utf-8", "replace")[:NAME_MAX]

    @classmethod
    def parse(cls, body: bytes) -> Destination:
        """Parse the body of an OPEN frame. Raises TunnelError if it is malformed."""
        if len(body) < _PORT.size:
            raise TunnelError("not a destination")
        proxy, port, length = _PORT.unpack_from(body)
        session, name = body[_PORT.size : _PORT.size + length], body[_PORT.size + length :]
        if length > SESSION_MAX or len(session) < length or len(name) > NAME_MAX or (session and not session.isalnum()):
            raise TunnelError("not a destination")
        return cls(name.decode("utf-8", "replace"), port, bool(proxy), session.decode("ascii"))


def frame(kind: int, stream: int, body: bytes | bytearray | memoryview = b"") -> bytes:
    """Return a frame."""
    return b"".join((_HEAD.pack(kind, stream, len(body)), body))


def number(value: int) -> bytes:
    """Encode a number as the body of a frame."""
    return _NUMBER.pack(value)


def parse_number(body: bytes) -> int:
    """Decode a number. Raises TunnelError if the body is not four bytes long."""
    if len(body) != _NUMBER.size:
        raise TunnelError("not a number")
    value: int = _NUMBER.unpack(body)[0]
    return value


class Frames:
    """An incremental decoder of frames.

    It discards all bytes before ``marker``, and after an invalid frame it does so again. The marker and the ``extra``
    bytes after it are returned as a HELLO, whose body is the extra bytes.
    """

    def __init__(self, marker: bytes = MAGIC, extra: int = NONCE_BYTES) -> None:
        self._marker, self._extra = marker, extra
        self._buffer = bytearray()
        self._synchronized = False

    def feed(self, data: bytes | bytearray | memoryview) -> list[tuple[int, int, bytes]]:
        """Return (kind, stream, body) of each frame that ``data`` completes."""
        self._buffer += data
        frames: list[tuple[int, int, bytes]] = []
        while self._synchronized or self._find_marker(frames):
            at = self._decode(frames)
            del self._buffer[:at]
            if self._synchronized:
                break
        return frames

    def _decode(self, frames: list[tuple[int, int, bytes]]) -> int:
        """Append the complete frames of the buffer, and return their length."""
        at = 0
        with memoryview(self._buffer) as buffer:
            while len(buffer) - at >= HEAD_BYTES:
                kind, stream, length = _HEAD.unpack_from(buffer, at)
                if not HELLO < kind <= WAKE or length > PIECE:
                    self._synchronized = False
                    break
                end = at + HEAD_BYTES + length
                if len(buffer) < end:
                    break
                frames.append((kind, stream, bytes(buffer[at + HEAD_BYTES : end])))
                at = end
        return at

    def _find_marker(self, frames: list[tuple[int, int, bytes]]) -> bool:
        """Discard input up to the next marker, and return whether it is complete."""
        start = self._buffer.find(self._marker)
        if start < 0:
            del self._buffer[: max(0, len(self._buffer) - len(self._marker) + 1)]
            return False
        del self._buffer[:start]
        end = len(self._marker) + self._extra
        if len(self._buffer) < end:
            return False
        frames.append((HELLO, 0, bytes(self._buffer[len(self._marker) : end])))
        del self._buffer[:end]
        self._synchronized = True
        return True
