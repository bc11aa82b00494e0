"""The one place where errors become words and exit statuses."""

from __future__ import annotations

import contextlib
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from ccvm_tui.cli import output
from ccvm_tui.errors import BootError, CcvmError, OutputFailed, UserError

INTERRUPTED = 130
"""128 + SIGINT, as shells have it."""

BROKEN_PIPE = 141
"""128 + SIGPIPE: whoever read our output has seen enough."""

UNEXPECTED = 70
"""EX_SOFTWARE of sysexits.h: a bug of ours."""


def reported(work: Callable[[], int], program: str) -> int:
    """Run ``work``; what it raises is said on stderr. Returns the exit status."""
    output.prepare()
    try:
        status = work()
        if sys.stdout is not None:
            sys.stdout.flush()
        return status
    except UserError as error:
        if isinstance(error, OutputFailed):
            output.discard()
        _say(f"{program}: {error.message}")
        if isinstance(error, BootError) and error.console_tail:
            _say("the guest's console ended with:\n" + error.console_tail.rstrip())
        if error.hint:
            _say(f"  → {error.hint}")
        return error.exit_status
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        output.discard()
        return BROKEN_PIPE
    except Exception as error:
        return _unexpected(error, program)


def _unexpected(error: Exception, program: str) -> int:
    what = str(error) if isinstance(error, CcvmError | OSError) else f"{type(error).__name__}: {error}"
    _say(f"{program}: unexpected error: {what}")
    text = "".join(traceback.format_exception(error))
    try:
        _say(f"  → details are in {_kept(text)}")
    except (OSError, UserError):
        _say(text)
    return UNEXPECTED


def _kept(text: str) -> Path:
    from ccvm_tui.paths import state_dir

    directory = state_dir() / "crashes"
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = directory / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.txt"
    file.write_text(text, encoding="utf-8", errors="backslashreplace")
    return file


def _say(line: str) -> None:
    with contextlib.suppress(OSError, ValueError):
        try:
            print(line, file=sys.stderr, flush=True)
        except UnicodeEncodeError:
            print(line.encode("ascii", "replace").decode(), file=sys.stderr, flush=True)
