"""Parsing of the command line, and the verb that runs it."""

from __future__ import annotations

import argparse
import importlib
import re
import shlex
import sys
from pathlib import Path
from types import ModuleType
from typing import NoReturn

from ccvm_tui import __version__

PROGRAM = "ccvm-tui"
"""The name of the program, in usage and errors."""

TOUR = "--tour"
"""The option with which the dashboard begins with the welcome tour."""

USAGE_STATUS = 2
"""The exit status if the command line is invalid."""

_CHOICE = re.compile(r"argument (?P<what>VERB|ACTION): invalid choice: '(?P<given>.*)' \(choose from (?P<choices>.*)\)")
_UNKNOWN = re.compile(r"unrecognized arguments: (?P<given>-\S+)")

VERBS = {
    "run": "open an agent, a shell or a command in a project's guest, starting the guest if necessary",
    "attach": "show a session on this terminal",
    "ls": "list running guests and their sessions",
    "exec": "run a program in a guest, with pipes instead of a terminal",
    "cp": "copy files and directories into a guest or out of it",
    "forward": "forward a port of this machine to a port of a guest",
    "open": "open a web page that a program in a guest wants to show",
    "ssh-config": "let SSH clients, such as editors, log in to a guest",
    "diff": "show what a guest has changed in its project",
    "apply": "apply a guest's edits of a read-only project to the host, or undo that",
    "fetch": "fetch the commits of an attempt into its project's repository",
    "compare": "compare two attempts side by side",
    "stop": "stop guests",
    "pause": "pause guests",
    "resume": "resume paused guests",
    "guard": "show and allow changes by guests that your own programs would run",
    "logs": "show what a guest printed, or its events",
    "egress": "show and control which hosts a guest connects to",
    "image": "build and manage guest images",
    "config": "show the settings in effect and their sources",
    "doctor": "check that this machine can run guests",
    "setup": "install what is missing on this machine, after asking, and build the guest image",
    "demo": "create a project with a program that shows detaching, attention, and reattaching",
    "gc": "remove what dead guests and old images left behind",
    "completion": "print a completion script for your shell",
    "version": "print versions",
}
"""The verbs and their descriptions, in the order of the help. Each verb has a module of the same name."""


class _Parser(argparse.ArgumentParser):
    """A parser whose errors suggest what was probably meant, mention the help, and use the documented status."""

    def error(self, message: str) -> NoReturn:
        """Print the error and exit."""
        message, meant = self._suggestion(message)
        hint = f"did you mean `{meant}`? See `{self.prog} --help`" if meant else f"see `{self.prog} --help`"
        print(f"{self.prog}: {message}\n  → {hint}", file=sys.stderr)
        raise SystemExit(USAGE_STATUS)

    def _suggestion(self, message: str) -> tuple[str, str]:
        """Return the message to print for a message of argparse, and a similar valid command, if there is one."""
        from ccvm_tui.config.file import nearest

        if match := _CHOICE.match(message):
            what, given, choices = match["what"].lower(), match["given"], re.findall(r"[\w-]+", match["choices"])
            if what == "verb" and Path(given).is_dir():
                return f"{given} is a directory, not a verb", f"{self.prog} run {shlex.quote(given)}"
            near = nearest(given, choices)
            return f"there is no {what} {given!r}", f"{self.prog} {near}" if near else ""
        if match := _UNKNOWN.match(message):
            near = nearest(match["given"].partition("=")[0], list(self._option_string_actions))
            return f"there is no option {match['given']}", f"{self.prog} {near}" if near else ""
        return message, ""


def dispatch(arguments: list[str]) -> int:
    """Run the verb in ``arguments``, or without arguments the dashboard, and return the exit status."""
    if arguments and arguments[0] in VERBS:
        return _run(arguments[0], arguments[1:])
    if arguments in ([], [TOUR]):
        return _dashboard(tour_wanted=bool(arguments))
    parser = _top()
    try:
        parser.parse_args(arguments)
        parser.error(f"{TOUR} is used without a verb")
    except SystemExit as exit_:
        return int(exit_.code or 0)
    return 0


def _run(verb: str, arguments: list[str]) -> int:
    module = verb_module(verb)
    parser = _Parser(prog=f"{PROGRAM} {verb}", description=VERBS[verb], allow_abbrev=False)
    module.configure(parser)
    split = getattr(module, "split", None)
    own, rest = (arguments, []) if split is None else split(arguments)
    try:
        args = parser.parse_args(own)
    except SystemExit as exit_:
        return int(exit_.code or 0)
    args.rest = rest
    return int(module.run(args))


def verb_module(verb: str) -> ModuleType:
    """Import the module of a verb."""
    return importlib.import_module(f"ccvm_tui.cli.verbs.{verb.replace('-', '_')}")


def _top() -> argparse.ArgumentParser:
    parser = _Parser(
        prog=PROGRAM,
        description="A disposable virtual machine for every project. Without a verb, the dashboard opens.",
        epilog=f"`{PROGRAM} VERB --help` describes a verb.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_own_options(parser)
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    for verb, about in VERBS.items():
        verbs.add_parser(verb, help=about, add_help=False)
    return parser


def _add_own_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that are used without a verb."""
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    parser.add_argument(TOUR, action="store_true", help="open the dashboard with the welcome tour")


def complete_parser() -> argparse.ArgumentParser:
    """Return a single parser with all verbs and options, for completion scripts and the test of the documentation."""
    parser = _Parser(prog=PROGRAM)
    _add_own_options(parser)
    verbs = parser.add_subparsers(metavar="VERB", dest="verb")
    for verb, about in VERBS.items():
        verb_module(verb).configure(verbs.add_parser(verb, help=about, description=about))
    return parser


def _dashboard(*, tour_wanted: bool) -> int:
    from ccvm_tui.cli import dashboard

    return dashboard.run(tour_wanted=tour_wanted)
