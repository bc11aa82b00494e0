"""``ccvm-tui demo``: create a project with a program that shows detaching, attention, and reattaching."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    from ccvm_tui.project.demo import NAME

    parser.add_argument(
        "path", nargs="?", default=NAME, metavar="DIR", help=f"a directory that does not exist (default: {NAME})"
    )


def run(args: argparse.Namespace) -> int:
    """Create the project, print its path, and print the next steps. Raises UserError if it cannot be created."""
    from ccvm_tui import config
    from ccvm_tui.cli.table import table
    from ccvm_tui.project import demo
    from ccvm_tui.tui.actions.table import shown_key

    settings = config.resolve(None, os.environ).settings
    keys = f"{shown_key(settings.leader)} {shown_key(settings.keys.detach)}"
    path = demo.create(Path(args.path).expanduser(), keys).path
    print(path)
    steps = [
        [f"  cd {shlex.quote(args.path)}", ""],
        [f"  ccvm-tui run --command ./{demo.PROGRAM}", "start the program in a guest"],
        [f"  {keys}", "leave it: it continues without you"],
        ["  ccvm-tui ls", "after 20 seconds, it is waiting for you"],
        ["  ccvm-tui attach", "return to it, and answer"],
    ]
    print(f"\nThe demo project is ready. Next:\n\n{table(steps)}\n\n`ccvm-tui` shows the same in the dashboard.",
          file=sys.stderr)  # fmt: skip
    return 0
