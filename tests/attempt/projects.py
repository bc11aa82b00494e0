"""Repositories for the tests of attempts, and Git as the user runs it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

IDENTITY = {f"GIT_{who}_{what}": "me@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
"""The variables that make commits possible without any configuration."""


def git(directory: Path, *argv: str, data: str = "") -> str:
    """Run Git in ``directory`` and return its output."""
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1", **IDENTITY}
    done = subprocess.run(
        ["git", *argv], cwd=directory, env=environment, check=True, capture_output=True, text=True, input=data
    )
    return done.stdout.strip()


def repository(directory: Path, **files: str) -> Path:
    """Create a repository with one commit of ``files`` (a.txt by default), and return it."""
    directory.mkdir(parents=True, exist_ok=True)
    git(directory, "init", "-q", "-b", "main")
    write(directory, **(files or {"a.txt": "one\ntwo\nthree\n"}))
    git(directory, "add", "-A")
    git(directory, "commit", "-qm", "start")
    return directory


def write(directory: Path, **files: str) -> None:
    """Write text files."""
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def commit(directory: Path, message: str = "work", **files: str) -> str:
    """Write files, commit everything, and return the commit."""
    write(directory, **files)
    git(directory, "add", "-A")
    git(directory, "commit", "-qm", message)
    return git(directory, "rev-parse", "HEAD")
