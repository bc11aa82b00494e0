"""The real program on its terminal, with guests that have no machine: ``python -m tests.tui.program [--tour] [ARGV]``.

A new session runs the arguments. With ``--tour``, the program begins with the welcome tour, which uses this machine.
"""

from __future__ import annotations

import os
import sys

from ccvm_tui import config
from ccvm_tui.tui.model.welcome import Tour
from ccvm_tui.tui.run import run_dashboard
from tests.tui.local import LocalStarter

if __name__ == "__main__":
    effective = config.resolve(None, os.environ)
    with_tour = sys.argv[1:2] == ["--tour"]
    starter = LocalStarter(tuple(sys.argv[2 if with_tour else 1 :]) or ("/bin/sh",))
    tour = Tour() if with_tour else None
    sys.exit(run_dashboard(effective.settings, starter, tuple(effective.file.projects), tour=tour))
