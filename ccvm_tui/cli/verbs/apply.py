"""``ccvm-tui apply``: apply a guest's edits of a read-only project to the host, or undo that."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ccvm_tui.review.apply import Outcome
    from ccvm_tui.review.journal import Record


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("guest", nargs="?", metavar="GUEST", help="default: this directory's guest")
    parser.add_argument("path", nargs="*", metavar="PATH", help="only these files and directories of the project")
    parser.add_argument("--ignored", action="store_true", help="include new files that .gitignore excludes")
    parser.add_argument(
        "--undo", action="store_true", help="undo what was applied last, also after the guest has ended"
    )


def run(args: argparse.Namespace) -> int:
    """Apply or undo, and return 1 if some files were refused."""
    from ccvm_tui.errors import UserError

    if args.undo and args.path:
        raise UserError("--undo concerns everything that was applied at once", f"`ccvm-tui apply --undo {args.guest}`")
    return _undo(args.guest) if args.undo else _apply(args.guest, args.path, ignored=args.ignored)


def _apply(wanted: str | None, paths: Sequence[str], *, ignored: bool) -> int:
    import asyncio

    from ccvm_tui.cli import changes, target
    from ccvm_tui.errors import UserError
    from ccvm_tui.review import apply, reviewing

    review = asyncio.run(reviewing.review_of(target.guest(wanted), with_ignored=ignored))
    if review.applied:
        raise UserError(
            f"the project of {review.guest} is writable, so the host has its changes already",
            f"`ccvm-tui diff {review.guest}` shows them",
        )
    selected = changes.select(review, paths)
    if not selected:
        print(f"{review.guest} has changed nothing", file=sys.stderr)
        return 0
    outcomes, accepted = apply.apply(review, selected)
    asyncio.run(reviewing.report_applied(review.guest, accepted))
    status = _report(outcomes, "applied")
    if any(not outcome.problem for outcome in outcomes):
        print(f"`ccvm-tui apply --undo {review.guest}` undoes this", file=sys.stderr)
    if status:
        print(f"`ccvm-tui diff {review.guest} PATH` shows a file that was not applied", file=sys.stderr)
    return status


def _undo(wanted: str | None) -> int:
    import asyncio

    from ccvm_tui.review import reviewing

    return _report(asyncio.run(reviewing.undo(_record(wanted))), "undone")


def _record(wanted: str | None) -> Record:
    """Return the last application of edits for the guest that ``wanted`` selects. Raises UserError if there is none."""
    import shlex

    from ccvm_tui.cli import target
    from ccvm_tui.errors import UserError
    from ccvm_tui.review import journal

    found = journal.records()
    path = target.project_path(wanted)
    if path is not None:
        found = [record for record in found if record.project == path]
    elif wanted is not None:
        names = {record.guest for record in found if record.guest.startswith(wanted)}
        names = {wanted} if wanted in names else names
        if len(names) > 1:
            raise UserError(f"{wanted!r} matches several guests: {', '.join(sorted(names))}", "specify one of them")
        found = [record for record in found if record.guest in names]
    if not found:
        raise UserError(f"nothing was applied from {shlex.quote(wanted or '.')}, or it was undone already")
    return found[0]


def _report(outcomes: Sequence[Outcome], done: str) -> int:
    from ccvm_tui.text import printable

    status = 0
    for outcome in outcomes:
        if outcome.problem:
            print(f"not {done}: {printable(outcome.path)}: {printable(outcome.problem)}", file=sys.stderr)
            status = 1
        else:
            print(f"{done} {printable(outcome.path)}")
    return status
