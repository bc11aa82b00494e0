"""A user of the host who works with Git in a project that a guest changes."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

GIT = ("git", "-c", "protocol.file.allow=always")


class Host:
    """A repository of the user, and the programs that they run in it."""

    def __init__(self, root: Path, *, copied: bool = False) -> None:
        """Create a repository in ``root``, or work in a copy of one."""
        self.project, self.mark, self.program = root / "project", root / "mark", root / "program"
        self._environment = {
            "PATH": os.environ["PATH"], "HOME": str(root / "home"), "GIT_CONFIG_NOSYSTEM": "1", "GIT_EDITOR": "true",
            **{f"GIT_{who}_{what}": "me@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
        }  # fmt: skip
        self.program.write_text(f"#!/bin/sh\ntouch {self.mark}\n")
        self.program.chmod(0o755)
        if not copied:
            self._create(root)

    def _create(self, root: Path) -> None:
        self.project.mkdir()
        (root / "home").mkdir()
        self.git("init", "-q", "-b", "main")
        (self.project / "a.txt").write_text("one\n")
        self.git("add", "-A")
        self.git("commit", "-qm", "one")
        for name, mode in (("pre-commit", 0o755), ("post-commit", 0o644)):
            hook = self.project / ".git/hooks" / name
            hook.write_text("#!/bin/sh\n" + (f"exec {self.program}\n" if name == "post-commit" else "exit 0\n"))
            hook.chmod(mode)
        (self.project / "a.txt").write_text("two\n")

    def remove_hooks(self) -> None:
        """Remove the user's hooks."""
        for name in ("pre-commit", "post-commit"):
            (self.project / ".git/hooks" / name).unlink()

    def git(self, *argv: str, place: str = ".") -> subprocess.CompletedProcess[str]:
        """Run Git in a directory of the project. Its exit status is not checked."""
        return subprocess.run(
            [*GIT, *argv], cwd=self.project / place, env=self._environment, capture_output=True, text=True, check=False,
            errors="replace",
            stdin=subprocess.DEVNULL, timeout=60,
        )  # fmt: skip

    def work(self) -> None:
        """Do what a user does, in the project and below it."""
        self._environment.pop("GIT_EDITOR")
        for place in (".", "sub"):
            if (self.project / place).is_dir():
                for argv in (
                    ("status",), ("diff",), ("log", "-p", "-1"), ("add", "-A", "."), ("commit", "--allow-empty"),
                    ("commit", "--allow-empty", "-m", "two"), ("checkout", "-f", "-b", "other"), ("status",),
                ):  # fmt: skip
                    self.git(*argv, place=place)
        self._environment["GIT_EDITOR"] = "true"
