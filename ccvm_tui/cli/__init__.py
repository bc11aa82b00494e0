"""The command line: one module per verb, which is imported only if the verb is used.

Standard output is for data, standard error for everything that is meant for people.
"""

from __future__ import annotations

import sys

from ccvm_tui.cli import parser
from ccvm_tui.cli.report import run_and_report


def main(argv: list[str] | None = None) -> int:
    """Run the command line ``argv``, or by default that of this process, and return the exit status."""
    arguments = sys.argv[1:] if argv is None else argv
    return run_and_report(lambda: parser.dispatch(arguments), program="ccvm-tui")
