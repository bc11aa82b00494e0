"""The framing of the control port: a 32-bit big-endian length, followed by that many bytes of JSON."""

from __future__ import annotations

from .jsontext import dumps, loads

Message = dict[str, object]

LENGTH_BYTES = 4
"""Bytes of the length."""

FRAME_MAX = 8 << 20
"""Maximum length of the JSON in bytes."""


class FramingError(Exception):
    """The host sent an invalid frame. The start of the next frame cannot be determined."""


def encode(message: Message) -> bytes:
    """Return the frame of a message."""
    body = dumps(message).encode()
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


class Decoder:
    """An incremental decoder of frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        """Return the messages that ``data`` completes. Frames that are not JSON objects are skipped.

        Raises FramingError if a frame is too long.
        """
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
