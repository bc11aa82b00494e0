"""Standard output and error of the command line, as every verb may use them.

Text may hold names that are not UTF-8: standard output gives their own bytes back. An error in writing it is told
from all others by its class. What standard error does not take is lost, and nothing else: it is for people.
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


class _Data(io.FileIO):
    def write(self, data: ReadableBuffer, /) -> int:
        """Raises BrokenPipeError when nobody reads any more, OutputFailed when it cannot be written."""
        try:
            return super().write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputFailed.of(error) from error


class _Words(io.FileIO):
    def write(self, data: ReadableBuffer, /) -> int:
        with contextlib.suppress(OSError):
            return super().write(data)
        return len(memoryview(data))


def prepare() -> None:
    """Replace the streams of this process, but for one that a test has replaced. One that was closed goes nowhere,
    and its descriptor is not some other file's."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - as long as the process
    if (stdout := sys.stdout) is sys.__stdout__ and stdout is not None:
        sys.stdout = _text(_Data(stdout.fileno(), "wb", closefd=False), stdout, "surrogateescape", stdout.isatty())
    if (stderr := sys.stderr) is sys.__stderr__ and stderr is not None:
        sys.stderr = _text(_Words(stderr.fileno(), "wb", closefd=False), stderr, "backslashreplace", True)


def discard() -> None:
    """Let what is still to be written go nowhere: the interpreter flushes once more at its end, and would complain."""
    if sys.stdout is not None:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


def _text(raw: io.FileIO, like: TextIO, errors: str, line_buffering: bool) -> TextIO:
    return io.TextIOWrapper(
        io.BufferedWriter(raw), encoding=like.encoding, errors=errors, line_buffering=line_buffering
    )
