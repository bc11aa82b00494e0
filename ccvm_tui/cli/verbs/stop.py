"""``ccvm-tui stop``: end guests, after a question when that would lose something.

With somebody to ask, what would be lost is listed and confirmed. Without (a script, a pipe) nothing that
would lose work is stopped unless ``--yes`` or ``--force`` says so.
"""

from __future__ import annotations

import argparse
import asyncio
import sys

LISTED = 10
"""Names of edited files shown in the question."""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("guest", nargs="*", metavar="GUEST", help="default: this directory's guest")
    parser.add_argument("--all", action="store_true", help="stop every guest")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask, even if something would be lost")
    parser.add_argument("--force", action="store_true", help="do not ask, do not wait for the guest, end it now")


def run(args: argparse.Namespace) -> int:
    from ccvm_tui.cli import target
    from ccvm_tui.client import listing
    from ccvm_tui.errors import UserError

    if args.all and args.guest:
        raise UserError("name guests or say --all, not both", "see `ccvm-tui stop --help`")
    names = listing.names() if args.all else [target.guest(wanted) for wanted in args.guest or [None]]
    if not names:
        print("no guest is running", file=sys.stderr)
    status = 0
    for name in dict.fromkeys(names):
        try:
            if args.yes or args.force or _agreed(name):
                _stop(name, force=args.force)
                print(f"stopped {name}", file=sys.stderr)
            else:
                status = 1
        except UserError as error:
            if len(names) == 1:
                raise
            print(f"ccvm-tui: {error.message}\n  → {error.hint}", file=sys.stderr)
            status = error.exit_status
    return status


def _stop(name: str, *, force: bool) -> None:
    from ccvm_tui.cli import hung
    from ccvm_tui.client import listing
    from ccvm_tui.errors import KeeperLost

    try:
        listing.stop_any(name, force=force, within=5.0 if force else listing.STOP_TIMEOUT)
    except KeeperLost:
        if not force:
            raise
        hung.kill_keeper(name)


def _agreed(name: str) -> bool:
    """Whether nothing would be lost, or the user lets it go. Raises UserError when nobody can be asked."""
    from ccvm_tui.cli import ask
    from ccvm_tui.errors import UserError
    from ccvm_tui.text import printable

    losses = [printable(loss) for loss in asyncio.run(_losses(name))]
    if not losses:
        return True
    if not ask.can_ask():
        raise UserError(f"stopping {name} would lose work: {'; '.join(losses)}", "say --yes if that is meant")
    for loss in losses:
        print(f"  {loss}", file=sys.stderr)
    return ask.confirmed(f"Stop {name} all the same?")


async def _losses(name: str) -> list[str]:
    """What stopping would lose, in words. A keeper of another version, or one that hangs, cannot tell."""
    from ccvm_tui.client import connection
    from ccvm_tui.errors import UserError, VersionMismatch

    try:
        async with asyncio.timeout(5), await connection.connect(name) as keeper:
            info = await keeper.info()
            if info.state not in ("running", "paused"):
                return []
            if info.state == "paused":
                return [f"{len(info.sessions)} sessions; it is paused and cannot be asked what they do"]
            losses = [f"{session} is running {command}" for session, command in await keeper.busy()]
            if info.read_only:
                edits = await keeper.edits()
                if edits.files:
                    names = ", ".join(edits.names[:LISTED]) + (", …" if edits.files > LISTED else "")
                    losses.append(f"{edits.files} changed files live in the guest only: {names}")
            return losses
    except VersionMismatch as error:
        return [error.message]
    except (UserError, TimeoutError):
        return ["it does not say what its sessions do"]
