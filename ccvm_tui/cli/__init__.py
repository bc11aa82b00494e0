"""The command line: one file per verb, imported when it is typed and not before.

A verb's module has ``ABOUT``, ``configure(parser)`` and ``run(args) -> exit status``; what those need beyond
argparse they import themselves, so that ``ccvm-tui ls`` pays for nothing else. Standard output carries data,
standard error everything meant for people.
"""

from __future__ import annotations

import sys

from ccvm_tui.cli import parser
from ccvm_tui.cli.report import reported


def main(argv: list[str] | None = None) -> int:
    """Run the command line ``argv`` (default: this process's); returns the exit status."""
    words = sys.argv[1:] if argv is None else argv
    return reported(lambda: parser.dispatch(words), program="ccvm-tui")
