"""``ccvm-tui diff``: show what a guest has changed in its project.

The exit status is that of diff(1): 0 without differences, 1 with differences, and higher after an error.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ccvm_tui.review.hunks import Hunk
    from ccvm_tui.review.model import Change, Review


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("guest", nargs="?", metavar="GUEST", help="default: this directory's guest")
    parser.add_argument("path", nargs="*", metavar="PATH", help="only these files and directories of the project")
    parser.add_argument("--ignored", action="store_true", help="include new files that .gitignore excludes")
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--stat", action="store_true", help="show one line for each file")
    shown.add_argument("--json", action="store_true", help="print JSON, as documented in docs/commands.md")


def run(args: argparse.Namespace) -> int:
    """Print the differences, and return 1 if there are any."""
    from ccvm_tui.cli.trouble import errors_above_one

    with errors_above_one():
        return _run(args)


def _run(args: argparse.Namespace) -> int:
    import asyncio

    from ccvm_tui.cli import changes, target
    from ccvm_tui.review import reviewing

    review = asyncio.run(reviewing.review_of(target.guest(args.guest), with_ignored=args.ignored))
    selected = changes.select(review, args.path)
    if args.json:
        print(json.dumps(_as_json(review, selected), indent=2))
    elif args.stat:
        _print_table(selected)
    else:
        _print_diffs(selected)
    for note in changes.notes(review):
        print(note, file=sys.stderr)
    if not selected and not args.json:
        print(f"{review.guest} has changed nothing", file=sys.stderr)
    return 1 if selected else 0


def _hunks(change: Change) -> list[Hunk]:
    from ccvm_tui.review import difference, unified

    return difference.compared(*unified.sides(change)) if unified.has_lines(change) else []


def _as_json(review: Review, selected: Sequence[Change]) -> dict[str, Any]:
    from ccvm_tui.review import unified
    from ccvm_tui.review.refusal import refusal

    listed = []
    for change in selected:
        added, removed = unified.counts(_hunks(change))
        listed.append(
            {
                "path": change.path,
                "change": change.words,
                "origin": change.origin or None,
                "kind": str(change.guest.kind if change.letter != "D" else change.host.kind),
                "text": change.is_text,
                "added": added,
                "removed": removed,
                "mode": [f"{change.base.mode:o}", f"{change.guest.mode:o}"],
                "conflict": change.three_way or None,
                "refused": refusal(change, review) or None,
            }
        )
    return {
        "guest": review.guest,
        "project": review.project,
        "changes": listed,
        "git": review.git,
        "ignored": review.ignored,
    }


def _print_table(selected: Sequence[Change]) -> None:
    from ccvm_tui.cli.changes import described
    from ccvm_tui.cli.table import table
    from ccvm_tui.review import unified

    rows = []
    for change in selected:
        added, removed = unified.counts(hunks := _hunks(change))
        rows.append([change.letter, *([f"+{added}", f"-{removed}"] if hunks else ["", ""]), described(change)])
    if rows:
        print(table(rows))


def _print_diffs(selected: Sequence[Change]) -> None:
    """Print a unified diff: unchanged if it is for a program, and without control characters on a terminal."""
    from ccvm_tui.cli.colours import painted_line, wants_colour
    from ccvm_tui.review import difference, unified

    on_terminal, colour = sys.stdout.isatty(), wants_colour(sys.stdout)
    for change in selected:
        on_host = unified.host_sides(change)
        theirs = difference.compared(*on_host) if on_host is not None else []
        for line in unified.unified(change, _hunks(change), theirs):
            if on_terminal:
                print(painted_line(line, colour=colour))
            else:
                sys.stdout.flush()
                sys.stdout.buffer.write(line)
    if not on_terminal:
        sys.stdout.buffer.flush()
