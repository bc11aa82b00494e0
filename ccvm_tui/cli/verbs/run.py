"""``ccvm-tui run``: run an agent, a shell or a command in the guest of a project."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ccvm_tui.attempt.spec import AttemptSpec
    from ccvm_tui.config import Settings
    from ccvm_tui.guest import SessionKind

SETTINGS = ("memory", "cores", "accel", "machine", "runtime", "network", "egress", "login", "agent")
"""The settings that have an option with a value."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("path", nargs="?", default=".", metavar="PATH", help="the project (default: this directory)")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--shell", action="store_true", help="run a login shell instead of the agent")
    what.add_argument("--command", action="store_true", help="run the program and the arguments that follow")
    parser.add_argument("--detach", action="store_true", help="print GUEST/SESSION instead of attaching the session")
    parser.add_argument("--name", help="name of the guest (default: derived from the path)")
    parser.add_argument("--attempt", metavar="NAME", help="work on a private clone, on a branch of this name")
    parser.add_argument("--with-changes", action="store_true", help="copy uncommitted changes into the new attempt")
    parser.add_argument("--session", metavar="LABEL", help="name of the session, in lists and for `attach`")
    parser.add_argument("--memory", metavar="MIB", help="memory of the guest")
    parser.add_argument("--cores", metavar="N", help="virtual CPUs of the guest")
    parser.add_argument("--accel", metavar="KIND", help="auto, kvm or tcg")
    parser.add_argument("--machine", metavar="TYPE", help="microvm or q35")
    parser.add_argument("--runtime", metavar="KIND", help="QEMU that runs the guest: host or own")
    parser.add_argument("--network", metavar="KIND", help="user or none")
    parser.add_argument("--egress", metavar="KIND", help="auto, open, public, allowlist, ask or none")
    parser.add_argument("--login", metavar="KIND", help="auto, broker, key or none")
    parser.add_argument("--agent", metavar="NAME", help='agent layer of the image, or "none"')
    parser.add_argument("--read-only", action="store_true", default=None, help="keep edits to the project in the guest")
    parser.add_argument("--writable", action="store_true", default=None, help="let the guest change the project")
    parser.add_argument("--ssh-agent", action="store_true", help="your SSH agent for the session; you confirm each use")
    parser.add_argument("--linger", action="store_true", default=None, help="keep the guest after its last session")
    parser.epilog = "Arguments after -- are passed to the agent unchanged. Ctrl+\\ d leaves the session running."


def split(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Split ``arguments`` into the verb's and the program's, which follow ``--`` or ``--command`` (and ``--``)."""
    for number, argument in enumerate(arguments):
        if argument == "--":
            return arguments[:number], arguments[number + 1 :]
        if argument == "--command":
            rest = arguments[number + 1 :]
            return arguments[: number + 1], rest[1:] if rest[:1] == ["--"] else rest
    return arguments, []


def run(args: argparse.Namespace) -> int:
    """Open the session and return the exit status. Raises UserError if the arguments are invalid."""
    from ccvm_tui import config, paths, project
    from ccvm_tui.boot.ssh_agent import agent_socket
    from ccvm_tui.cli.open_session import NewSession, open_session
    from ccvm_tui.cli.privilege import refuse_root
    from ccvm_tui.errors import UserError

    refuse_root()
    here = project.resolve(args.path)
    flags = {name: getattr(args, name) for name in SETTINGS}
    flags |= {"linger": args.linger, "writable_cwd": _writable(args)}
    settings = config.resolve(here.path, os.environ, flags).settings
    attempt = _attempt(args)
    ssh_agent = agent_socket(os.environ) if args.ssh_agent else ""
    default = here.name if attempt is None else project.attempt_guest(here, attempt.name)
    try:
        name = paths.check_guest_name(args.name) if args.name is not None else default
    except ValueError as error:
        raise UserError(str(error), "a name consists of at most 48 letters, digits and the characters - _ .") from error
    return open_session(
        NewSession(
            project=here,
            guest=name,
            settings=settings,
            kind=_kind(args, settings),
            argv=_argv(args),
            label=args.session or "",
            detach=args.detach,
            attempt=attempt,
            ssh_agent=ssh_agent,
        )
    )


def _writable(args: argparse.Namespace) -> bool | None:
    from ccvm_tui.errors import ConfigError

    if args.read_only and args.writable:
        raise ConfigError("--read-only and --writable exclude each other", "use one of them")
    return False if args.read_only else args.writable


def _attempt(args: argparse.Namespace) -> AttemptSpec | None:
    from ccvm_tui.attempt import names
    from ccvm_tui.attempt.spec import AttemptSpec
    from ccvm_tui.errors import ConfigError

    if args.attempt is None:
        if args.with_changes:
            raise ConfigError("--with-changes needs --attempt", "a guest of the project itself has all changes")
        return None
    if args.writable:
        raise ConfigError(
            "--writable and --attempt exclude each other", "the guest of an attempt changes its own clone"
        )
    return AttemptSpec(names.check(args.attempt), with_changes=args.with_changes)


def _kind(args: argparse.Namespace, settings: Settings) -> SessionKind:
    from ccvm_tui.errors import ConfigError
    from ccvm_tui.guest import SessionKind

    if args.command:
        return SessionKind.COMMAND
    if args.shell or settings.agent == "none":
        if args.rest:
            raise ConfigError(
                "arguments after -- are for an agent, but this session runs a shell", "use --command to run a command"
            )
        return SessionKind.SHELL
    return SessionKind.AGENT


def _argv(args: argparse.Namespace) -> tuple[str, ...]:
    """Return the program's arguments. A single argument that contains spaces is a shell command, as in tmux and ssh."""
    from ccvm_tui.errors import ConfigError

    if args.command and not args.rest:
        raise ConfigError("--command has no command", "for example `ccvm-tui run --command make test`")
    if args.command and len(args.rest) == 1 and any(character.isspace() for character in args.rest[0]):
        return ("sh", "-c", args.rest[0])
    return tuple(args.rest)
