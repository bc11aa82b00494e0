"""The protocol between the keeper and the guest's program server. Each program has its own connection.

A frame consists of a kind (one byte), a 32-bit big-endian length and a body of that many bytes. The first frame from
the keeper is START. Input is limited by a window, so that signals and sizes are never queued behind unread input. If
the keeper closes the connection, the program is hung up.
"""

from __future__ import annotations

SOCKET = "/run/ccvm/programs.sock"
"""The socket of the program server in the guest."""

START, INPUT, END_OF_INPUT, SIGNAL, SIZE = b"S", b"I", b"E", b"K", b"W"
"""Kinds from the keeper: the program to run; input, and its end; the number of a signal; the terminal's size."""

STARTED, REFUSED, OUTPUT, ERRORS, TAKEN, ENDED = b"s", b"r", b"o", b"e", b"t", b"x"
"""Kinds from the guest: the program runs; an error message; standard output; standard error; the number of input bytes
consumed; the exit status."""

INPUT_WINDOW = 1 << 18
"""Maximum number of input bytes that were sent but not yet consumed."""

PIECE = 1 << 15
"""Maximum number of bytes in a frame of input or output."""

START_MAX = 8 << 20
"""Maximum length of a START in bytes. Linux limits arguments and environment to 6 MiB, usually 2 MiB (execve(2))."""

_HEAD = 5


class WireError(Exception):
    """The peer sent an invalid frame or START. The start of the next frame cannot be determined."""


class Start:
    """A program to run.

    An empty ``argv`` means a login shell. ``size`` is columns, rows, and pixels across and down, or None for a program
    without a terminal. No value can contain a NUL byte.
    """

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
        """Return the frame's body. Raises WireError if a value has a NUL byte or a variable's name is not valid."""
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
        """Parse a frame's body. Raises WireError if it is malformed."""
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
    """Return a frame."""
    return kind + len(body).to_bytes(4, "big") + body


def number(value: int) -> bytes:
    """Encode a number as the body of a frame."""
    return value.to_bytes(4, "big")


def parse_number(body: bytes) -> int:
    """Decode a number. Raises WireError if the body is not four bytes long."""
    if len(body) != 4:
        raise WireError("not a number")
    return int.from_bytes(body, "big")


def pack_size(columns: int, rows: int, width: int = 0, height: int = 0) -> bytes:
    """Encode a terminal's size in cells and in pixels as the body of a frame."""
    return b"".join(value.to_bytes(2, "big") for value in (columns, rows, width, height))


def parse_size(body: bytes) -> tuple[int, int, int, int]:
    """Decode a terminal's size. Raises WireError if the body is not eight bytes long."""
    if len(body) != 8:
        raise WireError("not a terminal's size")
    columns, rows, width, height = (int.from_bytes(body[at : at + 2], "big") for at in range(0, 8, 2))
    return columns, rows, width, height


class Frames:
    """An incremental decoder of frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[tuple[bytes, bytes]]:
        """Return (kind, body) of each frame that ``data`` completes. Raises WireError if a frame is too long."""
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
