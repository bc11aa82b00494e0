"""Reports of crashes: tracebacks in files. Old ones are removed, by the next report or by ``ccvm-tui gc``."""

from __future__ import annotations

import contextlib
import os
import time
import traceback
from pathlib import Path

from ccvm_tui.paths import state_dir

REPORTS_KEPT = 20
"""The number of reports that are kept, the newest ones."""


def directory() -> Path:
    """Return the directory of the reports, which may not exist."""
    return state_dir() / "crashes"


def write_report(error: BaseException) -> Path:
    """Write the traceback of ``error`` to a new file and return its path. Raises OSError if it cannot be written."""
    directory().mkdir(parents=True, exist_ok=True, mode=0o700)
    path = directory() / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.txt"
    path.write_text("".join(traceback.format_exception(error)), encoding="utf-8", errors="backslashreplace")
    _remove_old()
    return path


def _remove_old() -> None:
    """Remove all reports but the newest ones. Their names begin with the time."""
    for old in sorted(directory().glob("*.txt"))[:-REPORTS_KEPT]:
        with contextlib.suppress(OSError):
            old.unlink()
