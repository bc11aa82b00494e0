"""The files of the user's global Git configuration."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping


def git_files(environ: Mapping[str, str], home: str) -> tuple[str, ...]:
    """Return the files in the order in which Git reads them (git-config(1), "FILES")."""
    if (chosen := environ.get("GIT_CONFIG_GLOBAL")) is not None:
        return (posixpath.join(home, chosen),) if chosen else ()
    config_home = posixpath.join(home, environ.get("XDG_CONFIG_HOME") or ".config")
    return f"{config_home}/git/config", f"{home}/.gitconfig"
