"""Standard output and standard error of the command line.

Names that are not UTF-8 are written to standard output unchanged. If standard output cannot be written, a special
exception is raised. Failures to write to standard error are ignored, because its text is for people.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
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


def prepare() -> None:
    """Replace the streams of this process, unless a test has replaced them.

    A stream that was closed is replaced by ``/dev/null``, because its descriptor may now be another file's.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - open until the process exits
    if (stdout := sys.stdout) is sys.__stdout__ and stdout is not None:
        sys.stdout = _text(
            _StandardOutput(stdout.fileno(), "wb", closefd=False), stdout, "surrogateescape", stdout.isatty()
        )
    if (stderr := sys.stderr) is sys.__stderr__ and stderr is not None:
        sys.stderr = _text(_StandardError(stderr.fileno(), "wb", closefd=False), stderr, "backslashreplace", True)


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
