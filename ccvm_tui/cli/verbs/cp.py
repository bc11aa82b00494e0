"""``ccvm-tui cp``: copy files and directories into a guest or out of it."""

from __future__ import annotations

import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("-q", "--quiet", action="store_true", help="do not show the progress")
    parser.add_argument("source", nargs="+", metavar="SOURCE", help="a path, or GUEST:PATH")
    parser.add_argument("destination", metavar="DESTINATION", help="GUEST:PATH, or a path")


def run(args: argparse.Namespace) -> int:
    """Copy the sources, and return 1 if something was omitted. Raises UserError if nothing can be copied."""
    import asyncio

    from ccvm_tui.cli import copying

    return asyncio.run(copying.copy(args.source, args.destination, quiet=args.quiet))
