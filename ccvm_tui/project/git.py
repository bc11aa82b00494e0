"""Git on a project whose guest can write to it, including Git's own metadata.

Git runs programs that a repository's configuration names: hooks, filters, monitors, and others. So the commands here
use a repository of their own, outside of the project, which finds the project's objects but reads neither its
configuration nor the user's. Attributes in the project have no effect without a configuration.
"""

from __future__ import annotations

import math
import os
import subprocess
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from ccvm_tui.errors import UserError

COMMAND_TIMEOUT = 60.0
"""Seconds within which a command of Git must end."""

_SETTINGS = ("core.fsmonitor=false", "core.hooksPath=/dev/null", "core.attributesFile=/dev/null", "core.pager=cat",
             "submodule.recurse=false", "diff.ignoreSubmodules=all", "gc.auto=0", "maintenance.auto=false")  # fmt: skip


@dataclass(frozen=True, slots=True)
class PrivateRepository:
    """The repository ``directory``, whose work tree is ``project``. Commands end before ``deadline`` (monotonic)."""

    directory: Path
    project: Path
    deadline: float = math.inf

    def run(self, *arguments: str, data: bytes = b"", statuses: Collection[int] = (0,)) -> bytes:
        """Run ``git`` with these arguments and ``data`` as its input, and return its output.

        Raises UserError if Git is missing, does not end, or ends with a status that is not in ``statuses``.
        """
        settings = [part for setting in _SETTINGS for part in ("-c", setting)]
        try:
            result = subprocess.run(
                ["git", "--no-pager", *settings, *arguments],
                input=data,
                capture_output=True,
                cwd=self.project,
                env=self._environment(),
                timeout=max(0.0, min(COMMAND_TIMEOUT, self.deadline - time.monotonic())),
            )
        except FileNotFoundError:
            raise UserError("git is not installed", "install it to compare a writable project") from None
        except subprocess.TimeoutExpired:
            raise UserError(f"git {arguments[0]} took too long in {self.project}") from None
        if result.returncode not in statuses:
            problem = result.stderr.decode("utf-8", "replace").strip().splitlines() or [f"status {result.returncode}"]
            raise UserError(f"git {arguments[0]} failed in {self.project}: {problem[-1]}")
        return result.stdout

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self.directory),
            "XDG_CONFIG_HOME": str(self.directory),
            "LC_ALL": "C",
            "GIT_DIR": str(self.directory),
            "GIT_WORK_TREE": str(self.project),
            "GIT_INDEX_FILE": str(self.directory / "index"),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_NO_LAZY_FETCH": "1",
        }


def metadata_of(project: Path) -> tuple[Path, Path] | None:
    """Return the directories with the index and with the objects of a project, or None if it is no repository.

    They are different directories if the project is a worktree of another repository (gitrepository-layout(5)).
    """
    directory = project / ".git"
    try:
        if directory.is_file():
            text = directory.read_text(encoding="utf-8", errors="surrogateescape")
            if not text.startswith("gitdir: "):
                return None
            directory = project / text.removeprefix("gitdir: ").rstrip("\n")
        common = directory
        if (directory / "commondir").is_file():
            common = directory / (directory / "commondir").read_text(errors="surrogateescape").rstrip("\n")
        return (directory, common / "objects") if (common / "objects").is_dir() else None
    except OSError:
        return None
