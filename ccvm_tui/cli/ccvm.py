"""The ``ccvm`` command, which has a few flags and passes all other arguments to the agent, unchanged and in order.

``ccvm [flags] [agent arguments…]`` boots the guest of the current directory and opens the agent. ``--help`` and
``--version`` are passed to the agent; the command's own are ``--ccvm-help`` and ``--ccvm-version``.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from ccvm_tui import __version__
from ccvm_tui.cli.report import run_and_report

FLAGS = {
    "--shell": "open a login shell instead of the agent",
    "--writable-cwd": "let the machine change this directory (default)",
    "--read-only-cwd": "keep changes to this directory in the machine's memory",
    "--ccvm-debug": "show the machine's console while it boots, and store it in a file",
    "--ccvm-help": "show this help",
    "--ccvm-version": "show the version of ccvm",
}
"""The flags of ``ccvm`` and their descriptions, in the order of the help."""

ABOUT = """\
Boots a disposable virtual machine that shares this directory, and opens the agent in it. When the agent exits,
the machine is destroyed. Ctrl+\\ d leaves the agent running, for `ccvm-tui attach`.
"""
"""The description of the command in the help."""

_LINES = "".join(f"  {flag:<16}  {about}\n" for flag, about in FLAGS.items())

HELP = f"""\
usage: ccvm [ccvm flags] [agent arguments…]

{ABOUT}
Flags of ccvm, in any position; all other arguments are passed to the agent unchanged:
{_LINES}
Settings are read from config.toml and CCVM_* variables; see `ccvm-tui config`.
"""
"""The text of ``--ccvm-help``."""


@dataclass(frozen=True, slots=True)
class Arguments:
    """A parsed command line. ``agent`` are the agent's arguments; ``writable`` is None if neither flag is set."""

    agent: tuple[str, ...]
    shell: bool = False
    debug: bool = False
    help: bool = False
    version: bool = False
    writable: bool | None = None


def parse(argv: list[str]) -> Arguments:
    """Separate the flags of ``ccvm`` from the agent's arguments, which include ``--``. The last ``-cwd`` flag wins."""
    given = [argument for argument in argv if argument in FLAGS]
    access = [flag == "--writable-cwd" for flag in given if flag.endswith("-cwd")]
    return Arguments(
        agent=tuple(argument for argument in argv if argument not in FLAGS),
        shell="--shell" in given,
        debug="--ccvm-debug" in given,
        help="--ccvm-help" in given,
        version="--ccvm-version" in given,
        writable=access[-1] if access else None,
    )


def main(argv: list[str] | None = None) -> int:
    """Run the command line ``argv``, or by default that of this process, and return the agent's exit status."""
    arguments = parse(sys.argv[1:] if argv is None else argv)
    return run_and_report(lambda: _run(arguments), program="ccvm")


def _run(arguments: Arguments) -> int:
    if arguments.help:
        print(HELP, end="")
        return 0
    if arguments.version:
        print(f"ccvm {__version__}")
        return 0
    from ccvm_tui import config, project
    from ccvm_tui.cli.open_session import NewSession, open_session
    from ccvm_tui.cli.privilege import refuse_root
    from ccvm_tui.guest import SessionKind

    refuse_root()
    here = project.resolve(Path.cwd())
    settings = config.resolve(here.path, os.environ, {"writable_cwd": arguments.writable, "linger": False}).settings
    shell = arguments.shell or os.environ.get("CCVM_SHELL") == "1" or settings.agent == "none"
    return open_session(
        NewSession(
            project=here,
            guest=here.name,
            settings=settings,
            kind=SessionKind.SHELL if shell else SessionKind.AGENT,
            argv=arguments.agent,
            destroy=True,
            debug=arguments.debug or os.environ.get("CCVM_DEBUG") == "1",
        )
    )
