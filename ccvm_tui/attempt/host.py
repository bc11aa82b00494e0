"""The repository of a project on the host, for attempts. Git reads it through a view (``guard.git``)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ccvm_tui.attempt.names import REFS
from ccvm_tui.guard import git
from ccvm_tui.project.git import PrivateRepository

HAVE_MAX: Final = 200
"""Maximum number of commits that are named to a guest as known."""

_NOT_FOUND: Final = (0, 1, 128)


@contextlib.contextmanager
def opened(project: str) -> Iterator[PrivateRepository]:
    """Yield a view of the project's repository, with which Git must only read. Raises UserError if there is none."""
    with git.repository(project) as view:
        yield PrivateRepository(Path(view.view), Path(project), objects=view.objects)


def commit_of(repository: PrivateRepository, name: str) -> str:
    """Return the object name of the commit ``name``, or an empty string if there is none."""
    return repository.run("rev-parse", "-q", "--verify", f"{name}^{{commit}}", statuses=_NOT_FOUND).decode().strip()


def merge_base(repository: PrivateRepository, one: str, other: str) -> str:
    """Return the newest common ancestor of two commits, or an empty string if there is none."""
    found = repository.run("merge-base", one, other, statuses=_NOT_FOUND).decode().split()
    return found[0] if found else ""


def is_ancestor(repository: PrivateRepository, old: str, new: str) -> bool:
    """Return whether the commit ``new`` contains the commit ``old``."""
    return merge_base(repository, old, new) == old


def fetched(repository: PrivateRepository, attempt: str) -> dict[str, str]:
    """Return the commits of the branches of an attempt that were fetched, by the name of the branch."""
    prefix = f"{REFS}/{attempt}/"
    listing = repository.run("for-each-ref", "--format=%(objectname) %(refname)", prefix).decode("utf-8", "replace")
    lines = (line.partition(" ") for line in listing.splitlines())
    return {name.removeprefix(prefix): commit for commit, _, name in lines}


@dataclass(frozen=True, slots=True)
class Known:
    """Commits that the project's repository has: the current one, or an empty string, and those fetched before."""

    current: str
    fetched: tuple[str, ...]

    @property
    def all(self) -> list[str]:
        """All of them."""
        return list(dict.fromkeys(commit for commit in (self.current, *self.fetched) if commit))


def known(project: str, attempt: str) -> Known:
    """Return commits that the project's repository has. Raises UserError if it cannot be read."""
    with opened(project) as repository:
        return Known(commit_of(repository, "HEAD"), tuple(fetched(repository, attempt).values())[:HAVE_MAX])
