"""``ccvm-tui resume``: resume paused guests."""

from __future__ import annotations

import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("guest", nargs="*", metavar="GUEST", help="default: this directory's guest")


def run(args: argparse.Namespace) -> int:
    """Resume the guests. Raises UserError if one of them cannot be resumed."""
    import asyncio

    from ccvm_tui.cli import target

    names = [target.guest(wanted) for wanted in args.guest or [None]]
    asyncio.run(_resume(names))
    return 0


async def _resume(names: list[str]) -> None:
    from ccvm_tui.client import connection

    for name in names:
        async with await connection.connect(name) as keeper:
            await keeper.resume()
