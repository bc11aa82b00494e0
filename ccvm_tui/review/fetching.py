"""The fetch of an attempt: its commits become references below ``refs/ccvm`` in the host's repository."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from ccvm_tui.attempt import host, install, names
from ccvm_tui.client import connection
from ccvm_tui.errors import UserError
from ccvm_tui.project.git import PrivateRepository
from ccvm_tui.review.received import Received, receive


@dataclass(frozen=True, slots=True)
class Fetched:
    """A reference in the host's repository.

    ``old`` is the commit that it named before, or empty. ``commits`` are those that it got. ``forced`` is true if the
    new commit does not contain the old one. ``problem`` is why it was not updated, or empty.
    """

    reference: str
    commit: str
    old: str = ""
    commits: int = 0
    forced: bool = False
    problem: str = ""

    @property
    def changed(self) -> bool:
        """True if the reference was created or updated."""
        return not self.problem and self.old != self.commit


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a fetch. ``refused`` are the branches whose names are not accepted."""

    received: Received
    fetched: tuple[Fetched, ...]
    refused: tuple[str, ...]


async def fetch(guest: str) -> Result:
    """Fetch the commits of a running guest's attempt. Raises UserError if that fails; then no reference is changed."""
    received = await receive(guest)
    result = await asyncio.to_thread(_fetch, received)
    async with await connection.connect(guest) as keeper:
        await keeper.check_attempt(wait=False)  # so that its lists no longer show what was fetched
    return result


def _fetch(received: Received) -> Result:
    attempt, project = received.attempt.name, received.project
    branches = {name: commit for name, commit in received.state.refs.items() if names.is_branch(name)}
    if not received.state.branch and received.state.head:  # HEAD is detached
        branches.setdefault("HEAD", received.state.head)
    refused = tuple(sorted(set(received.state.refs) - set(branches)))
    with received.repository() as repository:
        with host.opened(project) as own:
            old = host.fetched(own, attempt)
        wanted = [_compared(repository, received, name, commit, old.get(name, "")) for name, commit in branches.items()]
        main = names.reference(attempt, attempt)
        wanted = [one for one in wanted if one.old or one.commits or one.reference == main]
        new = [one for one in wanted if one.changed]
        if new:
            _install_objects(repository, project, [one.commit for one in new], [received.attempt.base, *old.values()])
    return Result(received, tuple(_written(project, one) for one in wanted), refused)


def _compared(repository: PrivateRepository, received: Received, name: str, commit: str, old: str) -> Fetched:
    known = [old] if old and host.commit_of(repository, old) else []
    listing = ["rev-list", "--count", commit, "--not", received.attempt.base, *known, "--"]
    count = int(repository.run(*listing))
    forced = bool(known) and not host.is_ancestor(repository, old, commit)
    return Fetched(names.reference(received.attempt.name, name), commit, old, count, forced)


def _install_objects(repository: PrivateRepository, project: str, commits: list[str], known: list[str]) -> None:
    """Copy the objects of ``commits`` to the host's repository, which has those of ``known``."""
    present = [f"^{commit}" for commit in dict.fromkeys(known) if host.commit_of(repository, commit)]
    with TemporaryDirectory(prefix="pack", dir=repository.directory) as directory:
        lines = "\n".join([*commits, *present, ""]).encode()
        printed = repository.run("pack-objects", "-q", "--revs", "--delta-base-offset", f"{directory}/pack", data=lines)
        for digest in printed.decode().split():
            pack = Path(directory, f"pack-{digest}.pack")
            install.install_pack(project, pack, pack.with_suffix(".idx"))


def _written(project: str, one: Fetched) -> Fetched:
    if one.changed:
        try:
            install.write_reference(project, one.reference, one.commit)
        except UserError as error:
            return Fetched(one.reference, one.commit, one.old, problem=error.message)
    return one
