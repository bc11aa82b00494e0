"""``ccvm-tui logs``: the events of a guest, or the output of its console, of QEMU or of its keeper.

The logs of a running guest are files in its runtime directory. After its end only the keeper's record of it is left.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ccvm_tui.client.ends import End
    from ccvm_tui.paths import GuestPaths


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("guest", nargs="?", metavar="GUEST", help="default: this directory's guest")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--console", dest="log", action="store_const", const="console", help="the guest's console")
    which.add_argument("--qemu", dest="log", action="store_const", const="qemu", help="the output of QEMU")
    which.add_argument("--keeper", dest="log", action="store_const", const="keeper", help="the log of the keeper")
    which.add_argument("--events", dest="log", action="store_const", const="events", help="the events (default)")
    parser.add_argument("-f", "--follow", action="store_true", help="follow the log until the guest ends")
    parser.set_defaults(log="events")


def run(args: argparse.Namespace) -> int:
    """Print the log, or the record of the guest's end. Raises NoSuchGuest if there is neither."""
    from ccvm_tui import claim
    from ccvm_tui.cli import target
    from ccvm_tui.cli.log_lines import lines
    from ccvm_tui.client.ends import end_of
    from ccvm_tui.errors import NoSuchGuest
    from ccvm_tui.paths import GuestPaths

    try:
        name = target.guest(args.guest)
    except NoSuchGuest:
        if (end := target.ended(args.guest)) is None:
            raise
        _print_end(end, args.log)
        return 0
    paths = GuestPaths(name)
    show = _print_event if args.log == "events" else _print_line
    for line in lines(_file(paths, args.log), lambda: args.follow and claim.alive(paths.lock)):
        show(line)
    if args.follow and (end := end_of(name)) is not None:
        _print_end(end, "events")
    return 0


def _file(paths: GuestPaths, log: str) -> Path:
    files = {"console": paths.console_log, "qemu": paths.qemu_log, "keeper": paths.keeper_log}
    return files.get(log, paths.events_log)


def _print_line(line: str) -> None:
    from ccvm_tui.text import console_line

    print(console_line(line), flush=True)


def _print_event(line: str) -> None:
    from ccvm_tui.text import printable

    try:
        event = json.loads(line)
        clock = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(float(event["time"])))
        columns = [clock, str(event["kind"]), str(event.get("session", "")), str(event["text"])]
    except (ValueError, KeyError, TypeError):
        return  # the line was cut off by a full disk
    print("  ".join(printable(column) for column in columns if column), flush=True)


def _print_end(end: End, log: str) -> None:
    from ccvm_tui.text import printable

    clock = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(end.ended))
    print(f"{end.guest} ended on {clock}: {printable(end.reason)}", file=sys.stderr)
    if log == "console" or end.failed:
        for line in end.console_tail.splitlines():
            _print_line(line)
