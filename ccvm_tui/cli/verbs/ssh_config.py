"""``ccvm-tui ssh-config``: let SSH clients of this machine log in to a guest."""

from __future__ import annotations

import argparse
import sys


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("guest", nargs="?", metavar="GUEST", help="default: this directory's guest")


def run(args: argparse.Namespace) -> int:
    """Write the files and print the path of the configuration. Raises UserError if that fails."""
    import asyncio

    from ccvm_tui.cli import target

    name = target.guest(args.guest)
    directory = asyncio.run(_prepare(name))
    print(f"{directory}/config")
    if sys.stderr.isatty():
        print(
            f"`ssh -F {directory}/config {name}` logs in; the files are removed when the guest stops", file=sys.stderr
        )
    return 0


async def _prepare(name: str) -> str:
    from ccvm_tui.client import connection

    async with await connection.connect(name) as keeper:
        return await keeper.prepare_ssh()
