"""``ccvm-tui`` without a verb: the dashboard."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ccvm_tui import config, project
from ccvm_tui.cli.privilege import refuse_root
from ccvm_tui.cli.tty import require_full_screen
from ccvm_tui.errors import UserError

if TYPE_CHECKING:
    from ccvm_tui.tui.model.welcome import Tour


def run(*, tour_wanted: bool = False) -> int:
    """Run the dashboard and return the exit status. It begins with the tour if that is wanted or due.

    Raises UserError if there is no suitable terminal, ConfigError if the settings are invalid.
    """
    from ccvm_tui.tui.actions.starter import UserStarter
    from ccvm_tui.tui.run import run_dashboard

    refuse_root()
    require_full_screen()
    effective = config.resolve(None, os.environ)
    starter = UserStarter()
    try:
        return run_dashboard(effective.settings, starter, tuple(effective.file.projects), _here(), _tour(tour_wanted))
    finally:
        starter.close()


def _tour(wanted: bool) -> Tour | None:
    from ccvm_tui.client import listing
    from ccvm_tui.project.history import History
    from ccvm_tui.tui.model.welcome import Tour

    tour = Tour()
    if wanted:
        tour.reopen()
    known = bool(History().list() or listing.names())  # the history is empty if the home is read-only
    return tour if wanted or tour.is_due(known_projects=known) else None


def _here() -> str:
    """Return the current directory if it can be a project, else ""."""
    try:
        return str(project.resolve(".").path)
    except (UserError, OSError):
        return ""
