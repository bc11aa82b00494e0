"""The command line and the environment of this program's confined processes: the file server and the screen process."""

from __future__ import annotations

import site
import sys
from pathlib import Path

import ccvm_tui


def command(module: str, *arguments: str) -> list[str]:
    """Return the command line that runs ``module`` of this package in a separate process."""
    # -P: never import from the current directory
    return [sys.executable, "-P", "-m", module, *arguments]


def environment() -> dict[str, str]:
    """Return the whole environment of such a process.

    It is empty if the package is installed where Python finds it, and nothing redirects compiled files.
    """
    directory = str(Path(ccvm_tui.__file__).parent.parent)
    variables = {}
    if directory not in site.getsitepackages():
        variables["PYTHONPATH"] = directory
    if sys.pycache_prefix:
        variables["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix
    return variables
