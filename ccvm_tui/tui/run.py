"""Running the dashboard on this terminal."""

from __future__ import annotations

import contextlib
import gc
import os
import sys

from ccvm_tui import crash
from ccvm_tui.client import listing
from ccvm_tui.config import Settings
from ccvm_tui.errors import PrerequisiteError
from ccvm_tui.tui.actions.starter import Starter
from ccvm_tui.tui.model.welcome import Tour

CRASHED = 70
"""EX_SOFTWARE of sysexits.h."""


def run_dashboard(
    settings: Settings,
    starter: Starter,
    configured: tuple[str, ...] = (),
    here: str = "",
    tour: Tour | None = None,
) -> int:
    """Run the dashboard until the user quits it, and return the exit status. With a ``tour``, it begins with that.

    The terminal is restored and guests keep running, whatever happens. Raises PrerequisiteError if there is no runtime
    directory.
    """
    os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")
    gc.disable()  # there is no garbage yet; the app enables it when it is ready
    from ccvm_tui.tui.app import Dashboard

    listing.names()  # raises an error that is shown in the plain terminal
    app = Dashboard(settings, starter, configured=configured, here=here, tour=tour)
    report = None
    try:
        app.run()
        report = app.crash_file
        failed = app.return_code not in (0, None)
    except Exception as error:
        failed = True
        with contextlib.suppress(OSError):
            report = crash.write_report(error)
    if failed:
        where = f"; the traceback is in {report}" if report is not None else ""
        print(f"ccvm-tui: the dashboard has crashed{where}", file=sys.stderr)
    _print_running_guests()
    return CRASHED if failed else 0


def _print_running_guests() -> None:
    try:
        names = listing.names()
    except (OSError, PrerequisiteError):
        return
    if names:
        count = "1 guest keeps running" if len(names) == 1 else f"{len(names)} guests keep running"
        print(f"{count}: {', '.join(names)}", file=sys.stderr)
        print("  → `ccvm-tui` opens the dashboard again, `ccvm-tui stop` stops a guest", file=sys.stderr)
