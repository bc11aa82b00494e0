"""``ccvm-tui attach``: a session on this terminal, until it ends or the user leaves it."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

ABOUT = "show a session on this terminal"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", nargs="?", metavar="GUEST[/SESSION]", help="default: this directory's guest")
    parser.add_argument("--no-scrollback", action="store_true", help="do not print what scrolled away")


def run(args: argparse.Namespace) -> int:
    import asyncio

    from ccvm_tui import config
    from ccvm_tui.cli import foreground, target
    from ccvm_tui.cli.tty import require_terminal

    require_terminal()
    guest, session = target.session(args.target)
    settings = config.resolve(Path.cwd(), os.environ).settings
    outcome = asyncio.run(foreground.foreground(guest, session, settings, scrollback=not args.no_scrollback))
    return foreground.conclude(guest, session, outcome)
