"""``ccvm-tui fetch``: get the commits of an attempt into the project's repository."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ccvm_tui.review.fetching import Fetched, Result


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("guest", nargs="?", metavar="GUEST", help="an attempt; default: this directory's only one")


def run(args: argparse.Namespace) -> int:
    """Fetch, print the references, and return 1 if one of them could not be updated."""
    import asyncio

    from ccvm_tui.cli import target
    from ccvm_tui.review import fetching

    result = asyncio.run(fetching.fetch(target.attempt(args.guest)))
    for fetched in result.fetched:
        print(_line(fetched), file=sys.stderr if fetched.problem else sys.stdout)
    _print_hints(result)
    return 1 if any(fetched.problem for fetched in result.fetched) else 0


def _line(fetched: Fetched) -> str:
    from ccvm_tui.text import printable

    name = printable(fetched.reference)
    if fetched.problem:
        return f"ccvm-tui: {name} was not updated: {printable(fetched.problem)}"
    if not fetched.changed:
        return f"{name} {fetched.commit[:10]} (nothing new)"
    commits = "1 commit" if fetched.commits == 1 else f"{fetched.commits} commits"
    if fetched.forced:
        commits += f", replaces {fetched.old[:10]}, which it does not contain"
    return f"{name} {fetched.commit[:10]} ({'' if fetched.old else 'new: '}{commits})"


def _print_hints(result: Result) -> None:
    from ccvm_tui.text import printable

    received = result.received
    if result.refused:
        shown = ", ".join(printable(name[:60]) for name in result.refused[:3])
        print(f"ccvm-tui: branches with unusual names were not fetched: {shown}", file=sys.stderr)
    if count := received.state.uncommitted:
        files = "1 uncommitted change" if count == 1 else f"{count} uncommitted changes"
        print(
            f"{files} stayed in the guest: `ccvm-tui diff {received.guest}` shows them, or commit them there",
            file=sys.stderr,
        )
    if any(fetched.changed for fetched in result.fetched):
        name = result.fetched[0].reference.removeprefix("refs/")
        print(
            f"`git log {name}` and `git diff HEAD...{name}` show them, `git merge {name}` takes them", file=sys.stderr
        )
