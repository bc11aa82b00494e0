"""The ``ccvm`` command: its own few flags, and everything else to the agent, byte for byte and in order.

``ccvm [flags] [agent arguments…]`` in a directory boots its guest and opens the agent. ``--help`` and
``--version`` are the agent's; ours are spelled ``--ccvm-help`` and ``--ccvm-version``.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from ccvm_tui import __version__
from ccvm_tui.cli.report import reported

HELP = """\
usage: ccvm [ccvm flags] [agent arguments…]

Boots a disposable virtual machine that sees this directory and opens the agent in it. When the agent exits
the machine is destroyed; Ctrl+\\ d leaves it running, for `ccvm-tui attach`.

ccvm's own flags, anywhere on the line; everything else goes to the agent as it is:
  --shell           a login shell instead of the agent
  --writable-cwd    edits to this directory are real (default)
  --read-only-cwd   edits to this directory stay in the machine's memory
  --ccvm-debug      show the machine's console while it boots, keep it in a file
  --ccvm-help       this text
  --ccvm-version    the version of ccvm

Settings come from config.toml and CCVM_* variables: see `ccvm-tui config`.
"""


@dataclass(frozen=True, slots=True)
class Words:
    """A command line taken apart. ``writable`` is None when neither flag was given; the last one wins."""

    agent: tuple[str, ...]
    shell: bool = False
    debug: bool = False
    help: bool = False
    version: bool = False
    writable: bool | None = None


def take_apart(words: list[str]) -> Words:
    """Our flags out of ``words``; all others, in order, are the agent's. ``--`` is no exception."""
    own = {"--shell", "--ccvm-debug", "--ccvm-help", "--ccvm-version", "--writable-cwd", "--read-only-cwd"}
    given = [word for word in words if word in own]
    access = [word == "--writable-cwd" for word in given if word.endswith("-cwd")]
    return Words(
        agent=tuple(word for word in words if word not in own),
        shell="--shell" in given,
        debug="--ccvm-debug" in given,
        help="--ccvm-help" in given,
        version="--ccvm-version" in given,
        writable=access[-1] if access else None,
    )


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the agent's exit status."""
    words = take_apart(sys.argv[1:] if argv is None else argv)
    return reported(lambda: _run(words), program="ccvm")


def _run(words: Words) -> int:
    if words.help:
        print(HELP, end="")
        return 0
    if words.version:
        print(f"ccvm {__version__}")
        return 0
    from ccvm_tui import config, project
    from ccvm_tui.cli.open_session import NewSession, open_session
    from ccvm_tui.cli.privilege import refuse_root
    from ccvm_tui.guest import SessionKind

    refuse_root()
    here = project.resolve(Path.cwd())
    settings = config.resolve(here.path, os.environ, {"writable_cwd": words.writable, "linger": False}).settings
    shell = words.shell or os.environ.get("CCVM_SHELL") == "1" or settings.agent == "none"
    return open_session(
        NewSession(
            project=here,
            guest=here.name,
            settings=settings,
            kind=SessionKind.SHELL if shell else SessionKind.AGENT,
            argv=words.agent,
            destroy=True,
            debug=words.debug or os.environ.get("CCVM_DEBUG") == "1",
        )
    )
