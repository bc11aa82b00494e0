"""``ccvm-tui logs``: the events of a guest, or the output of its console, of QEMU or of its keeper.

The logs of a running guest are files in its runtime directory. After its end only the keeper's record of it is left.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from ccvm_tui.client.ends import End
    from ccvm_tui.paths import GuestPaths

POLL_INTERVAL = 0.1
"""Seconds between two reads of a log that is followed."""


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
    for line in _lines(_file(paths, args.log), lambda: args.follow and claim.alive(paths.lock)):
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


def _lines(path: Path, follow: Callable[[], bool]) -> Iterator[str]:
    """Yield the lines of a log, which its writer rotates, and the new lines for as long as ``follow`` returns true.

    The lines before the last rotation are in ``NAME.1``. A log that is replaced by a new one is read from its start.
    """
    older = path.with_name(path.name + ".1")
    if older.exists():
        with older.open(encoding="utf-8", errors="replace", newline="\n") as file:
            yield from file
    following = True
    while following:
        try:
            with path.open(encoding="utf-8", errors="replace", newline="\n") as file:
                yield from _remaining_lines(file, path, follow)
        except FileNotFoundError:
            time.sleep(POLL_INTERVAL if follow() else 0)
        following = follow()


def _remaining_lines(file: TextIO, path: Path, follow: Callable[[], bool]) -> Iterator[str]:
    """Yield the lines of an open log until it ends or is replaced by another."""
    begun = ""
    while True:
        more = follow() and _is_current(file, path)  # before the read, so that the last lines are read too
        for piece in file:
            begun += piece
            if begun.endswith("\n"):
                yield begun
                begun = ""
        if not more:
            if begun:
                yield begun
            return
        time.sleep(POLL_INTERVAL)


def _is_current(file: TextIO, path: Path) -> bool:
    try:
        return path.stat().st_ino == os.fstat(file.fileno()).st_ino
    except FileNotFoundError:
        return True  # the guest is ending, and no new log follows
