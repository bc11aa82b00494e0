"""The removal of credentials from responses, while they are streamed."""

from __future__ import annotations

from collections.abc import Iterable

SHORTEST = 8
"""Minimum length of a credential that is searched for. A shorter one would be found by chance."""


class Scrubber:
    """A filter for the bytes of one response, which overwrites ``credentials``. Its output has the same length.

    Bytes are held back only while they are the beginning of a credential.
    """

    def __init__(self, credentials: Iterable[str]) -> None:
        self._needles = [text.encode("latin-1", "ignore") for text in credentials if len(text) >= SHORTEST]
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """Return the bytes that can be forwarded."""
        data = self._overwrite(self._held + data)
        keep = max((_overlap(data, needle) for needle in self._needles), default=0)
        at = len(data) - keep
        self._held = data[at:]
        return data[:at]

    def end(self) -> bytes:
        """Return the remaining bytes."""
        data, self._held = self._held, b""
        return data

    def whole(self, data: bytes) -> bytes:
        """Return ``data``, which is complete, without credentials."""
        return self._overwrite(data)

    def _overwrite(self, data: bytes) -> bytes:
        for needle in self._needles:
            data = data.replace(needle, b"*" * len(needle))
        return data


def _overlap(data: bytes, needle: bytes) -> int:
    """Return the length of the longest end of ``data`` that is a beginning of ``needle``, but not all of it."""
    for length in range(min(len(data), len(needle) - 1), 0, -1):
        if data.endswith(needle[:length]):
            return length
    return 0
