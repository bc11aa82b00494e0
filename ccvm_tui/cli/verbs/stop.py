"""``ccvm-tui stop``: stop guests, after a question if something would be lost.

Without a terminal no question can be asked. A guest whose stop would lose something is then stopped only with ``--yes``
or ``--force``.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import socket
import struct
import sys
import time
from enum import Enum

FILES_SHOWN = 10
"""Names of edited files in the question."""

FORCED_WITHIN = 5.0
"""Seconds within which a keeper must stop its guest by force, and a killed keeper must end."""

_ANSWER_TIMEOUT = 5.0
_ATTEMPT_TIMEOUT = 60.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("guest", nargs="*", metavar="GUEST", help="default: this directory's guest")
    parser.add_argument("--all", action="store_true", help="stop all guests")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask, even if something would be lost")
    parser.add_argument("--force", action="store_true", help="do not ask, and end the guest without a clean shutdown")


def run(args: argparse.Namespace) -> int:
    """Stop the guests, and return 1 if the user has refused to stop one of them, or else the status of an error."""
    from ccvm_tui.cli import target
    from ccvm_tui.client import listing
    from ccvm_tui.errors import UserError

    if args.all and args.guest:
        raise UserError("--all cannot be combined with names of guests", "see `ccvm-tui stop --help`")
    names = listing.names() if args.all else [target.guest(wanted) for wanted in args.guest or [None]]
    if not names:
        print("no guest is running", file=sys.stderr)
    status = 0
    for name in dict.fromkeys(names):
        try:
            if args.yes or args.force or _confirmed(name):
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
    from ccvm_tui.client import listing
    from ccvm_tui.errors import KeeperLost

    try:
        listing.stop_any(name, force=force, within=FORCED_WITHIN if force else listing.STOP_TIMEOUT)
    except KeeperLost:
        if not force:
            raise
        _kill_keeper(name)


class _Kept(Enum):
    """The things that only a guest has, and that can be kept before it is stopped."""

    NOTHING = ""
    EDITS = "edits"
    ATTEMPT = "attempt"


_HINTS = {
    _Kept.NOTHING: "",
    _Kept.EDITS: "`ccvm-tui diff {0}` shows the files, `ccvm-tui apply {0}` keeps them; ",
    _Kept.ATTEMPT: "`ccvm-tui fetch {0}` gets the commits, `ccvm-tui diff {0}` shows all changes; ",
}
_CHOICES = {
    _Kept.EDITS: ("(d: show the files, a: apply them)", "Nyda"),
    _Kept.ATTEMPT: ("(d: show the changes, f: fetch the commits)", "Nydf"),
}
_VERBS = {"d": "diff", "a": "apply", "f": "fetch"}


def _confirmed(name: str) -> bool:
    """Return whether nothing would be lost or the user agrees. Raises UserError if the user cannot be asked."""
    from ccvm_tui.cli import question
    from ccvm_tui.errors import UserError
    from ccvm_tui.text import printable

    losses, kept = asyncio.run(_losses(name))
    losses = [printable(loss) for loss in losses]
    if not losses:
        return True
    if not question.can_ask():
        hint = f"{_HINTS[kept].format(name)}--yes stops it anyway"
        raise UserError(f"stopping {name} would lose work: {'; '.join(losses)}", hint)
    for loss in losses:
        print(f"  {loss}", file=sys.stderr)
    if kept is _Kept.NOTHING:
        return question.confirmed(f"Stop {name} anyway?", default=False)
    explanation, keys = _CHOICES[kept]
    while (answer := question.chosen(f"Stop {name} anyway? {explanation}", keys)) in _VERBS:
        _dispatch(_VERBS[answer], name)
        if answer == "f":
            return _confirmed(name)  # perhaps nothing is left to lose
    return answer == "y"


def _dispatch(verb: str, name: str) -> None:
    """Run another verb for a guest. Errors are printed."""
    from ccvm_tui.cli import parser
    from ccvm_tui.errors import UserError

    try:
        parser.dispatch([verb, name])
    except UserError as error:
        print(f"ccvm-tui: {error.message}", file=sys.stderr)


async def _losses(name: str) -> tuple[list[str], _Kept]:
    """Return descriptions of what stopping the guest would lose, and the kind of what can be kept.

    A keeper of another version and a keeper that hangs cannot be asked, which is reported as a loss.
    """
    from ccvm_tui.attempt.losses import losses as attempt_losses
    from ccvm_tui.client import connection
    from ccvm_tui.errors import UserError, VersionMismatch

    try:
        async with asyncio.timeout(_ANSWER_TIMEOUT) as limit, await connection.connect(name) as keeper:
            info = await keeper.info()
            if info.state not in ("running", "paused"):
                return [], _Kept.NOTHING
            if info.state == "paused":
                lost = f"{len(info.sessions)} sessions; the guest is paused, so their programs are unknown"
                return [lost, *(attempt_losses(info.attempt) if info.attempt is not None else ())], _Kept.NOTHING
            losses = [f"{session} is running {command}" for session, command in await keeper.busy()]
            if info.attempt is not None:
                limit.reschedule(asyncio.get_running_loop().time() + _ATTEMPT_TIMEOUT)
                found = attempt_losses(await keeper.check_attempt() or info.attempt)
                return [*losses, *found], _Kept.ATTEMPT if found else _Kept.NOTHING
            edits = await keeper.edits() if info.read_only else None
            if edits is None or not edits.files:
                return losses, _Kept.NOTHING
            names = ", ".join(edits.names[:FILES_SHOWN]) + (", …" if edits.files > FILES_SHOWN else "")
            files = "1 changed file exists" if edits.files == 1 else f"{edits.files} changed files exist"
            return [*losses, f"{files} only in the guest: {names}"], _Kept.EDITS
    except VersionMismatch as error:
        return [error.message], _Kept.NOTHING
    except (UserError, TimeoutError):
        return ["the guest does not report what its sessions are running"], _Kept.NOTHING


def _kill_keeper(name: str) -> None:
    """Kill a keeper that holds its lock but does not respond. Its QEMU dies with it.

    The kernel reports which process listens on the socket (unix(7), SO_PEERCRED), because process numbers in files may
    be outdated. Raises KeeperLost if the process is unknown or cannot be killed.
    """
    from ccvm_tui import claim
    from ccvm_tui.errors import KeeperLost
    from ccvm_tui.paths import GuestPaths

    paths = GuestPaths(name)
    pid = _listener(str(paths.keeper_socket))
    if not claim.alive(paths.lock):
        claim.remove_if_dead(paths.dir)
        return
    if pid <= 0:
        raise KeeperLost(f"the keeper of {name} hangs and has no socket", f"`fuser {paths.lock}` shows its process")
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + FORCED_WITHIN
    while claim.alive(paths.lock):
        if time.monotonic() > deadline:
            raise KeeperLost(f"process {pid}, the keeper of {name}, cannot be killed", "it may hang in the kernel")
        time.sleep(0.02)
    claim.remove_if_dead(paths.dir)


def _listener(path: str) -> int:
    """Return the number of the process that listens on the socket ``path``, or -1."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(2.0)
        try:
            sock.connect(path)
        except OSError:
            return -1
        pid, _, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
        return int(pid)
