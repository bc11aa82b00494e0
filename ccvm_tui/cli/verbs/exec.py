"""``ccvm-tui exec``: run a program in a guest, with the standard streams of this process instead of a terminal."""

from __future__ import annotations

import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("-n", "--no-stdin", action="store_true", help="give the program an empty standard input")
    parser.add_argument(
        "guest", metavar="GUEST", help='its name, an unambiguous prefix of it, or "." for this directory\'s'
    )
    parser.add_argument("argv", nargs=argparse.REMAINDER, metavar="-- COMMAND", help="the program and its arguments")


def run(args: argparse.Namespace) -> int:
    """Run the program and return its exit status. Raises UserError if the command is missing."""
    import asyncio

    from ccvm_tui.cli import target
    from ccvm_tui.cli.standard_streams import execute
    from ccvm_tui.errors import UserError

    argv = args.argv[1:] if args.argv[:1] == ["--"] else args.argv
    if not argv:
        error = UserError("no command is given", "`ccvm-tui exec GUEST -- COMMAND [ARGUMENT…]`")
        error.exit_status = 2
        raise error
    return asyncio.run(execute(target.guest(args.guest), tuple(argv), {}, no_stdin=args.no_stdin))
