"""``ccvm-tui`` without a verb: the dashboard."""

from __future__ import annotations

import os

from ccvm_tui import config, project
from ccvm_tui.cli.privilege import refuse_root
from ccvm_tui.cli.tty import require_full_screen
from ccvm_tui.errors import UserError


def run() -> int:
    """Run the dashboard and return the exit status.

    Raises UserError if there is no suitable terminal, ConfigError if the settings are invalid.
    """
    from ccvm_tui.tui.actions.starter import UserStarter
    from ccvm_tui.tui.run import run_dashboard

    refuse_root()
    require_full_screen()
    effective = config.resolve(None, os.environ)
    starter = UserStarter()
    try:
        return run_dashboard(effective.settings, starter, tuple(effective.file.projects), _here())
    finally:
        starter.close()


def _here() -> str:
    """Return the current directory if it can be a project, else ""."""
    try:
        return str(project.resolve(".").path)
    except (UserError, OSError):
        return ""
