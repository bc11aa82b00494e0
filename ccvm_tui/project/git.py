"""Git on a project whose guest can write to it, including Git's own metadata.

The commands (``guard.git``) use a repository of their own, outside of the project, which finds the project's objects
but reads neither its configuration nor the user's. Attributes in the project have no effect without a configuration.
"""

from __future__ import annotations

import math
import subprocess
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from ccvm_tui.errors import UserError
from ccvm_tui.guard import git

COMMAND_TIMEOUT = 60.0
"""Seconds within which a command of Git must end."""


@dataclass(frozen=True, slots=True)
class PrivateRepository:
    """The repository ``directory``, whose work tree is ``project``. Commands end before ``deadline`` (monotonic).

    ``objects`` is the directory of its objects, if it is elsewhere, ``borrowed`` another one from which Git only reads.
    """

    directory: Path
    project: Path
    deadline: float = math.inf
    objects: str = ""
    borrowed: str = ""

    def command(self, *arguments: str) -> git.Command:
        """Return the command ``git ARGUMENTS`` in this repository."""
        return git.command_with(
            str(self.directory), str(self.project), *arguments, objects=self.objects, borrowed=self.borrowed
        )

    def run(self, *arguments: str, data: bytes = b"", statuses: Collection[int] = (0,)) -> bytes:
        """Run ``git`` with these arguments and ``data`` as its input, and return its output.

        Raises UserError if Git is missing, does not end, or ends with a status that is not in ``statuses``.
        """
        command = self.command(*arguments)
        try:
            result = subprocess.run(
                command.argv,
                input=data,
                capture_output=True,
                cwd=command.directory,
                env=command.environment,
                timeout=max(0.0, min(COMMAND_TIMEOUT, self.deadline - time.monotonic())),
            )
        except FileNotFoundError:
            raise UserError("Git is not installed", "install it to compare a writable project") from None
        except subprocess.TimeoutExpired:
            raise UserError(f"git {arguments[0]} took too long in {self.project}") from None
        if result.returncode not in statuses:
            problem = result.stderr.decode("utf-8", "replace").strip().splitlines() or [f"status {result.returncode}"]
            raise UserError(f"git {arguments[0]} failed in {self.project}: {problem[-1]}")
        return result.stdout


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
