"""``ccvm-tui pause``: pause guests. They keep their memory and use no processor time."""

from __future__ import annotations

import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("guest", nargs="*", metavar="GUEST", help="default: this directory's guest")


def run(args: argparse.Namespace) -> int:
    """Pause the guests. Raises UserError if one of them cannot be paused."""
    import asyncio

    from ccvm_tui.cli import target

    names = [target.guest(wanted) for wanted in args.guest or [None]]
    asyncio.run(_pause(names))
    return 0


async def _pause(names: list[str]) -> None:
    from ccvm_tui.client import connection

    for name in names:
        async with await connection.connect(name) as keeper:
            await keeper.pause()
