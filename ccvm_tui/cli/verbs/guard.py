"""``ccvm-tui guard``: list what the guard of a guest has blocked or noticed, show it, and allow it."""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ccvm_tui.guard.quarantine import Item

_PROBLEM_MAX = 70


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("guest", nargs="?", metavar="GUEST", help="default: this directory's guest, also after its end")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--show", metavar="ID", help="print what the guest wanted to write")
    what.add_argument("--allow", metavar="ID", help="write it to the project, and accept it from the guest")
    what.add_argument("--json", action="store_true", help="print JSON, as documented in docs/commands.md")


def run(args: argparse.Namespace) -> int:
    """Print the items, or show or allow one. Raises NoSuchGuest if neither a guest nor its record is found."""
    from ccvm_tui.guard.quarantine import Quarantine

    guest, running = _guest(args.guest)
    quarantine = Quarantine(guest)
    if args.show:
        _show(quarantine.item(args.show), quarantine.content(quarantine.item(args.show)))
    elif args.allow:
        print(_allow(guest, args.allow, running=running))
    elif args.json:
        import json

        import msgspec

        print(json.dumps({"items": [msgspec.to_builtins(item) for item in quarantine.items()]}, indent=2))
    elif items := quarantine.items():
        print(_table(items))
    else:
        print(f"the guard of {guest} has neither blocked nor noticed anything", file=sys.stderr)
    return 0


def _guest(wanted: str | None) -> tuple[str, bool]:
    """Return the name of the guest, and whether it is running."""
    from ccvm_tui.cli import target
    from ccvm_tui.errors import NoSuchGuest

    try:
        return target.guest(wanted), True
    except NoSuchGuest:
        if (end := target.ended(wanted)) is None:
            raise
        return end.guest, False


def _allow(guest: str, id_: str, *, running: bool) -> str:
    if not running:
        from ccvm_tui.guard.install import allow

        return allow(guest, id_)
    import asyncio

    return asyncio.run(_ask(guest, id_))


async def _ask(guest: str, id_: str) -> str:
    from ccvm_tui.client import connection

    async with await connection.connect(guest) as keeper:
        return await keeper.allow_guarded(id_)


def _table(items: list[Item]) -> str:
    from ccvm_tui.cli.table import table

    rows = [["ID", "TIME", "STATE", "FILE", "PROBLEM"]]
    for item in items:
        clock = time.strftime("%m-%d %H:%M:%S", time.localtime(item.time))
        more = f" (and {len(item.problems) - 1} more)" if len(item.problems) > 1 else ""
        rows.append([item.id, clock, item.state, item.path, item.problems[0][:_PROBLEM_MAX] + more])
    return table(rows)


def _show(item: Item, content: bytes) -> None:
    """Print what is known about an item, and the content, with control characters replaced."""
    from ccvm_tui.text import printable

    print(f"{item.state}: {printable(item.path)}")
    print(f"because {printable(item.reason)}")
    for problem in item.problems:
        print(f"  {printable(problem)}")
    if item.link:
        print(f"a link to {printable(content.decode('utf-8', 'backslashreplace'))}")
    elif content:
        print()
        for line in content.decode("utf-8", "backslashreplace").splitlines():
            print(printable(line.expandtabs()))
        if not item.complete:
            print("… the rest is not kept")
