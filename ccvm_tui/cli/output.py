"""Standard output and standard error of the command line.

Names that are not UTF-8 are written to standard output unchanged. Characters that the locale's character set lacks are
replaced. If standard output cannot be written, a special exception is raised. Failures to write to standard error are
ignored, because its text is for people.
"""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO

from ccvm_tui.errors import OutputFailed

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class _StandardOutput(io.FileIO):
    def write(self, data: ReadableBuffer, /) -> int:
        """Write ``data``. Raises BrokenPipeError if the reader has exited, OutputFailed if it cannot be written."""
        try:
            return super().write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputFailed.of(error) from error


class _StandardError(io.FileIO):
    def write(self, data: ReadableBuffer, /) -> int:
        with contextlib.suppress(OSError):
            return super().write(data)
        return len(memoryview(data))


NO_CURSOR = ("", "dumb", "unknown")
"""Values of TERM for terminals that cannot move their cursor."""

SIGNS = {"→": "->", "…": "...", "✓": "+", "✗": "x", "·": "-", "–": "-", "“": '"', "”": '"', "⚠": "!"}
"""Characters of messages, and what replaces them if the locale's character set lacks them."""

_FOR_PROGRAMS, _FOR_PEOPLE = "ccvm.surrogateescape", "ccvm.backslashreplace"
"""The error handlers of the two streams."""


def _with_signs(otherwise: str) -> Callable[[UnicodeError], tuple[str | bytes, int]]:
    """Return an error handler (codecs.register_error) that replaces ``SIGNS``.

    The handler ``otherwise`` handles other characters, and "?" replaces those that it does not support either.
    """
    fallback = codecs.lookup_error(otherwise)

    def handle(error: UnicodeError) -> tuple[str | bytes, int]:
        if not isinstance(error, UnicodeEncodeError):
            raise error
        error.end = error.start + 1
        if (character := error.object[error.start]) in SIGNS:
            return SIGNS[character], error.end
        try:
            return fallback(error)
        except UnicodeError:
            return "?", error.end

    return handle


codecs.register_error(_FOR_PROGRAMS, _with_signs("surrogateescape"))
codecs.register_error(_FOR_PEOPLE, _with_signs("backslashreplace"))


def prepare() -> None:
    """Replace the streams of this process, unless a test has replaced them.

    A stream that was closed is replaced by ``/dev/null``, because its descriptor may now be another file's.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - open until the process exits
    if (stdout := sys.stdout) is sys.__stdout__ and stdout is not None:
        raw = _StandardOutput(stdout.fileno(), "wb", closefd=False)
        sys.stdout = _text(raw, stdout, _FOR_PROGRAMS, stdout.isatty())
    if (stderr := sys.stderr) is sys.__stderr__ and stderr is not None:
        sys.stderr = _text(_StandardError(stderr.fileno(), "wb", closefd=False), stderr, _FOR_PEOPLE, True)


def can_redraw(stream: TextIO | None) -> bool:
    """Return whether a line on ``stream`` can be drawn again: whether it is a terminal that can erase, by TERM."""
    return stream is not None and stream.isatty() and os.environ.get("TERM", "") not in NO_CURSOR


def can_encode(stream: TextIO, text: str) -> bool:
    """Return whether the character set of ``stream`` contains all characters of ``text``."""
    try:
        text.encode(stream.encoding)
    except UnicodeEncodeError:
        return False
    return True


def discard() -> None:
    """Discard buffered output, because the interpreter flushes it again when it exits, and would print an error."""
    if sys.stdout is not None:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


def _text(raw: io.FileIO, like: TextIO, errors: str, line_buffering: bool) -> TextIO:
    return io.TextIOWrapper(
        io.BufferedWriter(raw), encoding=like.encoding, errors=errors, line_buffering=line_buffering
    )
