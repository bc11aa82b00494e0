"""``ccvm-tui exec``: a program in a guest, with our own standard streams in place of a terminal."""

from __future__ import annotations

import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-n", "--no-stdin", action="store_true", help="give the program an empty standard input")
    parser.add_argument("guest", metavar="GUEST", help='its name, the beginning of it, or "." for this directory\'s')
    parser.add_argument("argv", nargs=argparse.REMAINDER, metavar="-- COMMAND", help="the program and its arguments")


def run(args: argparse.Namespace) -> int:
    import asyncio

    from ccvm_tui.cli import piped, target
    from ccvm_tui.errors import UserError

    argv = args.argv[1:] if args.argv[:1] == ["--"] else args.argv
    if not argv:
        error = UserError("no command to run", "`ccvm-tui exec GUEST -- COMMAND [ARGUMENT…]`")
        error.exit_status = 2
        raise error
    return asyncio.run(piped.execute(target.guest(args.guest), tuple(argv), {}, no_stdin=args.no_stdin))
