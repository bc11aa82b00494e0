"""``ccvm-tui run``: an agent, a shell or a command in the guest of a project."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ccvm_tui.config import Settings
    from ccvm_tui.guest import SessionKind

SETTINGS = ("memory", "cores", "accel", "machine", "runtime", "network", "agent")
"""Settings with a flag that takes a value."""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", nargs="?", default=".", metavar="PATH", help="the project (default: this directory)")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--shell", action="store_true", help="a login shell instead of the agent")
    what.add_argument("--command", action="store_true", help="all words after this one are a program and its arguments")
    parser.add_argument("--detach", action="store_true", help="start it, print GUEST/SESSION, do not attach")
    parser.add_argument("--name", help="name of the guest (default: made from the path)")
    parser.add_argument("--session", metavar="LABEL", help="a name for the session, for lists and `attach`")
    parser.add_argument("--memory", metavar="MIB", help="memory of the guest")
    parser.add_argument("--cores", metavar="N", help="virtual CPUs of the guest")
    parser.add_argument("--accel", metavar="KIND", help="auto, kvm or tcg")
    parser.add_argument("--machine", metavar="TYPE", help="microvm or q35")
    parser.add_argument("--runtime", metavar="WHOSE", help="QEMU that runs the guest: host or own")
    parser.add_argument("--network", metavar="KIND", help="user or none")
    parser.add_argument("--agent", metavar="NAME", help='agent layer of the image, or "none"')
    parser.add_argument("--read-only", action="store_true", default=None, help="edits to the project stay in the guest")
    parser.add_argument("--writable", action="store_true", default=None, help="edits to the project are real")
    parser.add_argument("--linger", action="store_true", default=None, help="keep the guest after its last session")
    parser.epilog = "Words after -- are the agent's arguments, byte for byte. Ctrl+\\ d leaves a session running."


def split(words: list[str]) -> tuple[list[str], list[str]]:
    """Our own words, and those that pass on untouched: after ``--``, or after ``--command`` (and ``--``)."""
    for number, word in enumerate(words):
        if word == "--":
            return words[:number], words[number + 1 :]
        if word == "--command":
            rest = words[number + 1 :]
            return words[: number + 1], rest[1:] if rest[:1] == ["--"] else rest
    return words, []


def run(args: argparse.Namespace) -> int:
    from ccvm_tui import config, paths, project
    from ccvm_tui.cli.open_session import NewSession, open_session
    from ccvm_tui.cli.privilege import refuse_root
    from ccvm_tui.errors import UserError

    refuse_root()
    here = project.resolve(args.path)
    flags = {name: getattr(args, name) for name in SETTINGS}
    flags |= {"linger": args.linger, "writable_cwd": _writable(args)}
    settings = config.resolve(here.path, os.environ, flags).settings
    try:
        name = paths.check_guest_name(args.name) if args.name is not None else here.name
    except ValueError as error:
        raise UserError(str(error), "letters, digits, - _ and . make a name, 48 at most") from error
    return open_session(
        NewSession(
            project=here,
            guest=name,
            settings=settings,
            kind=_kind(args, settings),
            argv=_argv(args),
            label=args.session or "",
            detach=args.detach,
        )
    )


def _writable(args: argparse.Namespace) -> bool | None:
    from ccvm_tui.errors import ConfigError

    if args.read_only and args.writable:
        raise ConfigError("--read-only and --writable exclude each other")
    return False if args.read_only else args.writable


def _kind(args: argparse.Namespace, settings: Settings) -> SessionKind:
    from ccvm_tui.errors import ConfigError
    from ccvm_tui.guest import SessionKind

    if args.command:
        return SessionKind.COMMAND
    if args.shell or settings.agent == "none":
        if args.rest:
            raise ConfigError("words after -- are for an agent, and this is a shell", "see --command")
        return SessionKind.SHELL
    return SessionKind.AGENT


def _argv(args: argparse.Namespace) -> tuple[str, ...]:
    """A command that is one word with spaces in it is meant for a shell, as with tmux and ssh."""
    from ccvm_tui.errors import ConfigError

    if args.command and not args.rest:
        raise ConfigError("--command without a command", "`ccvm-tui run --command make test`")
    if args.command and len(args.rest) == 1 and any(character.isspace() for character in args.rest[0]):
        return ("sh", "-c", args.rest[0])
    return tuple(args.rest)
