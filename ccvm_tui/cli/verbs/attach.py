"""``ccvm-tui attach``: show a session on this terminal until it ends or the user detaches."""

from __future__ import annotations

import argparse
import os
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("target", nargs="?", metavar="GUEST[/SESSION]", help="default: this directory's guest")
    parser.add_argument("--no-scrollback", action="store_true", help="do not print the session's scrollback")


def run(args: argparse.Namespace) -> int:
    """Attach the session and return its exit status, or 0 after detaching."""
    import asyncio

    from ccvm_tui import config
    from ccvm_tui.cli import target
    from ccvm_tui.cli.attach import attach, report_outcome
    from ccvm_tui.cli.tty import require_terminal

    require_terminal()
    guest, session = target.session(args.target)
    settings = config.resolve(Path.cwd(), os.environ).settings
    outcome = asyncio.run(attach(guest, session, settings, scrollback=not args.no_scrollback))
    return report_outcome(guest, session, outcome)
