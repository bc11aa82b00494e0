"""Run the dashboard on this terminal, and say afterwards what goes on without it."""

from __future__ import annotations

import gc
import os
import sys

from ccvm_tui.client import listing
from ccvm_tui.config import Settings
from ccvm_tui.errors import PrerequisiteError
from ccvm_tui.tui.starting import Starter

CRASHED = 70
"""EX_SOFTWARE of sysexits.h."""


def run_dashboard(settings: Settings, starter: Starter, configured: tuple[str, ...] = (), here: str = "") -> int:
    """Returns the exit status. Whatever happens, the terminal is put back and the guests go on."""
    os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")
    gc.disable()  # nothing is garbage yet; the app enables it when it is ready
    from ccvm_tui.tui.app import Dashboard, write_crash

    listing.names()  # a runtime directory that cannot be had is an error to show in the plain terminal
    app = Dashboard(settings, starter, configured=configured, here=here)
    crash = None
    try:
        app.run()
        crash = app.crash_file
        failed = app.return_code not in (0, None)
    except Exception as error:
        crash, failed = write_crash(error), True
    if failed:
        where = f"; what is known of it stands in {crash}" if crash is not None else ""
        print(f"ccvm-tui: the dashboard ended by an error of its own{where}", file=sys.stderr)
    _say_what_goes_on()
    return CRASHED if failed else 0


def _say_what_goes_on() -> None:
    try:
        names = listing.names()
    except (OSError, PrerequisiteError):
        return
    if names:
        count = f"{len(names)} guest{'s' if len(names) != 1 else ''} go{'es' if len(names) == 1 else ''} on"
        print(f"{count} without the dashboard: {', '.join(names)}\n  → `ccvm-tui` comes back, `ccvm-tui stop` ends",
              file=sys.stderr)  # fmt: skip
