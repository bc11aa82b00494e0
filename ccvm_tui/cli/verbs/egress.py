"""``ccvm-tui egress``: the connections of a guest, and the rules about them, which can be changed while it runs."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ccvm_tui.client.connection import Keeper

_CHANGES = ("forget", "deny", "allow")
"""The options that change the rules, in the order in which they take effect."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("guest", nargs="?", metavar="GUEST", help="default: this directory's guest")
    parser.add_argument("-f", "--follow", action="store_true", help="print new connections until the guest ends")
    parser.add_argument("--json", action="store_true", help="print a JSON object for each change of a connection")
    parser.add_argument("--rules", action="store_true", help="print the rules instead of the connections")
    for option, about in (
        ("--allow", "allow a host: example.com, *.example.com or an address, each with or without :PORT"),
        ("--deny", "deny a host, and end its connections"),
        ("--forget", "remove the rule about a host"),
    ):
        parser.add_argument(option, action="append", metavar="RULE", default=[], help=about)
    parser.add_argument(
        "--save", action="store_true", help="add the hosts that you have allowed to the project's settings"
    )


def run(args: argparse.Namespace) -> int:
    """Change the rules if options say so, or else print the connections. Raises NoSuchGuest if there is no guest."""
    from ccvm_tui import claim
    from ccvm_tui.cli import target
    from ccvm_tui.cli.log_lines import lines
    from ccvm_tui.paths import GuestPaths

    name = target.guest(args.guest)
    changes = [(effect, rule) for effect in _CHANGES for rule in getattr(args, effect)]
    if changes or args.rules or args.save:
        asyncio.run(_change(name, changes, show=args.rules, save=args.save))
        if not args.follow:
            return 0
    else:
        asyncio.run(_require_record(name))
    paths = GuestPaths(name)
    records = _records(lines(paths.egress_log, lambda: args.follow and claim.alive(paths.lock)))
    for record in records if args.follow or args.json else _newest(records):
        print(json.dumps(record) if args.json else _line(record), flush=True)
    return 0


async def _change(name: str, changes: Iterable[tuple[str, str]], *, show: bool, save: bool) -> None:
    from ccvm_tui.client import connection

    async with await connection.connect(name) as keeper:
        for effect, rule in changes:
            await keeper.change_egress(effect, rule)
        if save:
            await _save(keeper)
        if show:
            report = await keeper.egress()
            for word, rules in (("deny", report.denied), ("allow", report.allowed)):
                for rule in rules:
                    print(f"{word:5}  {rule}")


async def _save(keeper: Keeper) -> None:
    """Add the hosts that were allowed while the guest ran to the section of its project."""
    from ccvm_tui.config.edit import add_to_project

    learned = (await keeper.egress()).learned
    if not learned:
        print("nothing was allowed while this guest ran", file=sys.stderr)
        return
    info = await keeper.info()
    path = add_to_project(info.project, "egress_allowlist", learned)
    print(f"added to {path}: {', '.join(learned)}", file=sys.stderr)


async def _require_record(name: str) -> None:
    """Raise UserError if the egress of the guest is not controlled, so that there is no record."""
    from ccvm_tui.client import connection

    async with await connection.connect(name) as keeper:
        await keeper.egress()


def _records(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:
            continue  # the line was cut off by a full disk
        if isinstance(record, dict):
            yield record


def _newest(records: Iterable[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    """Return the newest state of each connection."""
    return {record.get("id"): record for record in records}.values()


def _line(record: dict[str, Any]) -> str:
    from ccvm_tui.text import printable, size_text

    clock = time.strftime("%H:%M:%S", time.localtime(float(record.get("time", 0))))
    outcome = str(record.get("outcome", ""))
    target = f"{record.get('host')}:{record.get('port')}"
    moved = ""
    if outcome == "closed":
        moved = f"{size_text(int(record.get('sent', 0)))} out, {size_text(int(record.get('received', 0)))} in"
    session = f"({record.get('session')})" if record.get("session") else ""
    columns = (clock, f"{outcome:7}", target, session, moved or str(record.get("reason", "")))
    return "  ".join(printable(column) for column in columns if column).rstrip()
