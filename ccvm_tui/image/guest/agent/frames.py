"""The control port's framing: a 32-bit big-endian length, then that many bytes of JSON."""

from __future__ import annotations

from .jsontext import dumps, loads

Message = dict[str, object]

LENGTH_BYTES = 4
FRAME_MAX = 8 << 20


class FramingError(Exception):
    """The host sent what is no frame. There is no way to find the next one."""


def encode(message: Message) -> bytes:
    body = dumps(message).encode()
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


class Decoder:
    """Bytes in, whole messages out."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        """The messages that ``data`` completes. What is no JSON object is skipped; raises FramingError."""
        self._buffer += data
        messages = []
        while len(self._buffer) >= LENGTH_BYTES:
            length = int.from_bytes(self._buffer[:LENGTH_BYTES], "big")
            if length > FRAME_MAX:
                raise FramingError(f"a frame of {length} bytes")
            end = LENGTH_BYTES + length
            if len(self._buffer) < end:
                break
            body = bytes(self._buffer[LENGTH_BYTES:end])
            del self._buffer[:end]
            try:
                message = loads(body.decode())
            except (ValueError, RecursionError):
                continue
            if isinstance(message, dict):
                messages.append(message)
        return messages
