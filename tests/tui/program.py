"""The real program on its terminal, with guests that have no machine: ``python -m tests.tui.program [ARGV]``.

A new session runs the arguments.
"""

from __future__ import annotations

import os
import sys

from ccvm_tui import config
from ccvm_tui.tui.run import run_dashboard
from tests.tui.local import LocalStarter

if __name__ == "__main__":
    effective = config.resolve(None, os.environ)
    starter = LocalStarter(tuple(sys.argv[1:]) or ("/bin/sh",))
    sys.exit(run_dashboard(effective.settings, starter, tuple(effective.file.projects)))
