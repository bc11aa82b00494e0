"""The browser of the user's desktop."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping

_OPENERS = ("xdg-open", "wslview", "sensible-browser", "open")


def command(address: str, environ: Mapping[str, str] = os.environ) -> list[str]:
    """Return the command line that opens ``address``, or an empty list if there is no desktop with a browser.

    The variable BROWSER contains command lines, separated by colons, in which ``%s`` is the address (see environ(7)).
    """
    for candidate in environ.get("BROWSER", "").split(":"):
        if words := shlex.split(candidate):
            placed = [word.replace("%s", address) for word in words]
            if shutil.which(words[0]) is not None:
                return placed if "%s" in candidate else [*placed, address]
    if environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY") or environ.get("WSL_DISTRO_NAME"):
        for program in _OPENERS:
            if (found := shutil.which(program)) is not None:
                return [found, address]
    return []


def open_page(address: str) -> bool:
    """Open a web page, and return whether there is a browser. Its output is dropped: this terminal is in use."""
    argv = command(address)
    if not argv:
        return False
    null = subprocess.DEVNULL
    try:
        subprocess.Popen(argv, stdin=null, stdout=null, stderr=null, start_new_session=True)  # outlives this process
    except OSError:
        return False
    return True
