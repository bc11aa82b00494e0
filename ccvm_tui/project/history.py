"""The history of projects in the state directory, from which the dashboard offers projects to start again."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ccvm_tui import paths

PROJECTS_MAX = 200
"""The maximum number of projects in the history. The least recently used project is removed first."""


@dataclass(frozen=True, slots=True)
class KnownProject:
    """A project in the history. ``last`` is the time of its last start in seconds since 1970, or 0 if there is none."""

    path: str
    name: str
    last: float
    muted: bool = False


Change = Callable[[tuple[KnownProject, ...]], list[KnownProject]]
"""A function from the current projects to the new ones."""


class History:
    """The file ``projects.json`` in ``directory``. Changes are atomic and safe against concurrent changes."""

    def __init__(self, directory: Path | None = None) -> None:
        self._directory = paths.state_dir() if directory is None else directory

    @property
    def file(self) -> Path:
        """The path of the file."""
        return self._directory / "projects.json"

    def list(self) -> tuple[KnownProject, ...]:
        """Return the projects, newest first. A damaged or missing file counts as empty."""
        try:
            entries = json.loads(self.file.read_text(encoding="utf-8"))["projects"]
            projects = [
                KnownProject(
                    str(entry["path"]), str(entry["name"]), float(entry["last"]), bool(entry.get("muted", False))
                )
                for entry in entries
            ]
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return ()
        return tuple(sorted(projects, key=lambda project: project.last, reverse=True))

    def remember(self, path: str, name: str, now: float | None = None) -> None:
        """Move a project to the top, or add it. Raises OSError if the state directory cannot be written."""
        when = time.time() if now is None else now

        def change(projects: tuple[KnownProject, ...]) -> list[KnownProject]:
            muted = any(project.muted for project in projects if project.path == path)
            others = (project for project in projects if project.path != path)
            return [KnownProject(path, name, when, muted), *others][:PROJECTS_MAX]

        self._change(change)

    def mute(self, path: str, muted: bool) -> None:
        """Mute or unmute a project, adding it if necessary. Raises OSError if the state directory cannot be written."""

        def change(projects: tuple[KnownProject, ...]) -> list[KnownProject]:
            known = [project for project in projects if project.path == path]
            project = known[0] if known else KnownProject(path, Path(path).name, 0.0)
            others = (other for other in projects if other.path != path)
            return [replace(project, muted=muted), *others][:PROJECTS_MAX]

        self._change(change)

    def forget(self, path: str) -> None:
        """Remove a project, if the history contains it. Raises OSError if the state directory cannot be written."""
        self._change(lambda projects: [project for project in projects if project.path != path])

    def _change(self, change: Change) -> None:
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._locked():
            body = json.dumps({"projects": [asdict(project) for project in change(self.list())]}, indent=1)
            fresh = self.file.with_suffix(f".{os.getpid()}.new")
            try:
                fresh.write_text(body, encoding="utf-8")
                fresh.replace(self.file)
            finally:
                fresh.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        fd = os.open(self._directory / "projects.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)
