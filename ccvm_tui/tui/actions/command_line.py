"""Running this program's own command line from the dashboard."""

from __future__ import annotations

import sys

_PROGRAM = "from ccvm_tui.cli import main; raise SystemExit(main())"


def own_command(*arguments: str) -> tuple[str, ...]:
    """Return the arguments of a process that runs ``ccvm-tui`` with ``arguments``, in this version of it."""
    return (sys.executable, "-P", "-c", _PROGRAM, *arguments)
