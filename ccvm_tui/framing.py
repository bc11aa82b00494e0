"""Frames of the protocol: a 32-bit big-endian length and that many bytes; see ``protocol``."""

from __future__ import annotations

import asyncio
import json
import struct
from typing import Any

from ccvm_tui.errors import ProtocolError

FRAME_MAX = 64 << 20
"""The maximum length of a frame's body in bytes."""

_LENGTH = struct.Struct(">I")


def frame(body: bytes) -> bytes:
    """Return a frame with that body."""
    return _LENGTH.pack(len(body)) + body


def pack_json(value: dict[str, Any]) -> bytes:
    """Encode a greeting as a frame, including its length."""
    return frame(json.dumps(value).encode())


def unpack_json(body: bytes) -> dict[str, Any]:
    """Decode the body of a greeting. Raises ProtocolError if it is not a JSON object."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"bad greeting: {error}") from error
    if not isinstance(value, dict):
        raise ProtocolError("bad greeting: not an object")
    return value


async def read_frame(reader: asyncio.StreamReader, limit: int = FRAME_MAX) -> bytes | None:
    """Read the next frame and return its body, or None at the end of the stream.

    Raises ProtocolError if the frame is longer than ``limit`` or the stream ends within a frame.
    """
    try:
        head = await reader.readexactly(_LENGTH.size)
        (length,) = _LENGTH.unpack(head)
        if length > limit:
            raise ProtocolError(f"frame of {length} bytes exceeds the limit of {limit}")
        return await reader.readexactly(length)
    except asyncio.IncompleteReadError as error:
        if error.partial or error.expected != _LENGTH.size:
            raise ProtocolError("the connection ended in the middle of a frame") from error
        return None
    except ConnectionError:
        return None
