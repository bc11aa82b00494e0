"""The protocol of the keeper and the guest's program server, on one connection for each program.

A frame is a kind (one byte), a 32-bit big-endian length and that many bytes. The keeper begins with START. Input is
sent within a window, so that signals and sizes never wait behind what the program does not read. The connection's
end, at any time, is the caller's end.
"""

from __future__ import annotations

SOCKET = "/run/ccvm/programs.sock"

START, INPUT, END_OF_INPUT, SIGNAL, SIZE = b"S", b"I", b"E", b"K", b"W"
"""From the keeper: what to run; bytes for its input, and their end; a signal's number; the terminal's size."""

STARTED, REFUSED, OUTPUT, ERRORS, TAKEN, ENDED = b"s", b"r", b"o", b"e", b"t", b"x"
"""From the guest: it runs, or the text why not; what it printed; how many bytes of input it took; its status."""

INPUT_WINDOW = 1 << 18
"""Bytes of input that may be sent before the program has taken them."""

PIECE = 1 << 15
"""Bytes in one frame of input or output, at most."""

START_MAX = 8 << 20
"""Bytes of a START. Linux itself takes 6 MiB of arguments and environment at most (execve(2)), mostly 2 MiB."""

_HEAD = 5


class WireError(Exception):
    """The peer sent what is no frame, or no START. There is no way to find the next one."""


class Start:
    """A program to run. ``argv`` empty means a login shell; ``size`` is columns, rows, and pixels across and down,
    or None for a program without a terminal. Nothing here can hold a NUL byte."""

    __slots__ = ("argv", "env", "kind", "session", "size")

    def __init__(
        self,
        session: bytes,
        kind: bytes,
        argv: list[bytes],
        env: list[tuple[bytes, bytes]],
        size: tuple[int, int, int, int] | None,
    ) -> None:
        self.session, self.kind, self.argv, self.env, self.size = session, kind, argv, env, size

    def pack(self) -> bytes:
        """The frame's body. Raises WireError for a NUL byte, or a variable's name that cannot be one."""
        if any(not name or b"=" in name for name, _ in self.env):
            raise WireError("a variable's name is empty or has = in it")
        size = b"" if self.size is None else b"%d %d %d %d" % self.size
        count = b"%d" % len(self.argv)
        fields = [self.session, self.kind, size, count, *self.argv, *(name + b"=" + value for name, value in self.env)]
        if any(b"\0" in field for field in fields):
            raise WireError("a NUL byte in an argument or a variable")
        return b"\0".join(fields)

    @classmethod
    def parse(cls, body: bytes) -> Start:
        """Raises WireError."""
        try:
            session, kind, size, count, *rest = body.split(b"\0")
            argv, pairs = rest[: int(count)], rest[int(count) :]
            columns = tuple(int(number) for number in size.split())
            env = [(name, value) for name, equals, value in (pair.partition(b"=") for pair in pairs) if equals]
        except ValueError:
            raise WireError("not a program to start") from None
        if int(count) != len(argv) or len(env) != len(pairs) or not session.isalnum():
            raise WireError("not a program to start")
        if columns and (len(columns) != 4 or not all(0 <= number < 1 << 16 for number in columns)):
            raise WireError("not a terminal's size")
        return cls(session, kind, argv, env, columns or None)  # type: ignore[arg-type]  # its length is checked


def frame(kind: bytes, body: bytes = b"") -> bytes:
    return kind + len(body).to_bytes(4, "big") + body


def number(value: int) -> bytes:
    return value.to_bytes(4, "big")


def parse_number(body: bytes) -> int:
    """Raises WireError."""
    if len(body) != 4:
        raise WireError("not a number")
    return int.from_bytes(body, "big")


def pack_size(columns: int, rows: int, width: int = 0, height: int = 0) -> bytes:
    return b"".join(value.to_bytes(2, "big") for value in (columns, rows, width, height))


def parse_size(body: bytes) -> tuple[int, int, int, int]:
    """Raises WireError."""
    if len(body) != 8:
        raise WireError("not a terminal's size")
    columns, rows, width, height = (int.from_bytes(body[at : at + 2], "big") for at in range(0, 8, 2))
    return columns, rows, width, height


class Frames:
    """Bytes in, whole frames out."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[tuple[bytes, bytes]]:
        """(kind, body) of each frame that ``data`` completes. Raises WireError for one that is too long."""
        self._buffer += data
        frames = []
        at = 0
        while len(self._buffer) - at >= _HEAD:
            kind = bytes(self._buffer[at : at + 1])
            length = int.from_bytes(self._buffer[at + 1 : at + _HEAD], "big")
            if length > (START_MAX if kind == START else 2 * PIECE):
                raise WireError(f"a frame of {length} bytes")
            if len(self._buffer) - at - _HEAD < length:
                break
            frames.append((kind, bytes(self._buffer[at + _HEAD : at + _HEAD + length])))
            at += _HEAD + length
        del self._buffer[:at]
        return frames
