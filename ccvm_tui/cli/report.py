"""Exceptions as messages on standard error and exit statuses."""

from __future__ import annotations

import contextlib
import sys
import traceback
from collections.abc import Callable

from ccvm_tui.cli import output
from ccvm_tui.errors import BootError, CcvmError, OutputFailed, UserError

INTERRUPTED = 130
"""128 + SIGINT, as in shells."""

BROKEN_PIPE = 141
"""128 + SIGPIPE: the reader of the output has exited."""

UNEXPECTED = 70
"""EX_SOFTWARE of sysexits.h: an error in this program."""


def run_and_report(command: Callable[[], int], program: str) -> int:
    """Run ``command``, print its exception to standard error, if it raises one, and return the exit status."""
    output.prepare()
    try:
        status = command()
        if sys.stdout is not None:
            sys.stdout.flush()
        return status
    except UserError as error:
        if isinstance(error, OutputFailed):
            output.discard()
        return _report(error, program)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        output.discard()
        return BROKEN_PIPE
    except Exception as error:
        return _report_unexpected(error, program)


def _report(error: UserError, program: str) -> int:
    _print(f"{program}: {error.message}")
    if isinstance(error, BootError) and error.console_tail:
        _print("The last lines of the guest's console:\n" + error.console_tail.rstrip())
    if error.hint:
        _print(f"  → {error.hint}")
    return error.exit_status


def _report_unexpected(error: Exception, program: str) -> int:
    from ccvm_tui import crash, paths

    if isinstance(error, OSError) and (known := paths.unwritable(error)) is not None:
        return _report(known, program)
    description = str(error) if isinstance(error, CcvmError | OSError) else f"{type(error).__name__}: {error}"
    _print(f"{program}: unexpected error: {description}")
    try:
        _print(f"  → the traceback is in {crash.write_report(error)}")
    except OSError:
        _print("".join(traceback.format_exception(error)))
    return UNEXPECTED


def _print(line: str) -> None:
    with contextlib.suppress(OSError, ValueError):
        try:
            print(line, file=sys.stderr, flush=True)
        except UnicodeEncodeError:
            print(line.encode("ascii", "replace").decode(), file=sys.stderr, flush=True)
