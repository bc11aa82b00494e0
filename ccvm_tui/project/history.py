"""The projects seen so far, newest first, in the state directory: what the dashboard offers to start again."""

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

MOST = 200
"""Projects remembered; the one not used for the longest time is forgotten first."""


@dataclass(frozen=True, slots=True)
class Seen:
    """``last`` is the time of the last start, in seconds since 1970; 0 when there was none."""

    path: str
    name: str
    last: float
    muted: bool = False


Change = Callable[[tuple[Seen, ...]], list[Seen]]


class History:
    """``projects.json`` below ``directory``. Changes are atomic, and safe against others who change it."""

    def __init__(self, directory: Path | None = None) -> None:
        self._directory = paths.state_dir() if directory is None else directory

    @property
    def file(self) -> Path:
        return self._directory / "projects.json"

    def list(self) -> tuple[Seen, ...]:
        """Newest first. A damaged file counts as empty: history is a convenience."""
        try:
            entries = json.loads(self.file.read_text(encoding="utf-8"))["projects"]
            seen = [
                Seen(str(one["path"]), str(one["name"]), float(one["last"]), bool(one.get("muted", False)))
                for one in entries
            ]
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return ()
        return tuple(sorted(seen, key=lambda one: one.last, reverse=True))

    def remember(self, path: str, name: str, now: float | None = None) -> None:
        """Put a project at the top. Raises OSError when the state directory cannot be written."""
        when = time.time() if now is None else now

        def change(seen: tuple[Seen, ...]) -> list[Seen]:
            muted = any(one.muted for one in seen if one.path == path)
            return [Seen(path, name, when, muted), *(one for one in seen if one.path != path)][:MOST]

        self._change(change)

    def mute(self, path: str, muted: bool) -> None:
        """Whether the project's sessions may ask for attention. Raises OSError."""

        def change(seen: tuple[Seen, ...]) -> list[Seen]:
            known = [one for one in seen if one.path == path] or [Seen(path, Path(path).name, 0.0)]
            return [replace(known[0], muted=muted), *(one for one in seen if one.path != path)][:MOST]

        self._change(change)

    def forget(self, path: str) -> None:
        """Take a project out; none of that path is fine. Raises OSError."""
        self._change(lambda seen: [one for one in seen if one.path != path])

    def _change(self, change: Change) -> None:
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._locked():
            body = json.dumps({"projects": [asdict(one) for one in change(self.list())]}, indent=1)
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
