"""Snapshots of a project in a repository, for a comparison of what a guest started from with what is there now."""

from __future__ import annotations

import math
import os
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path

from ccvm_tui.errors import UserError
from ccvm_tui.project.git import PrivateRepository, metadata_of

FILE_MAX = 1 << 20
"""Maximum size in bytes of a file that is not in the repository. Larger ones are left out."""

FILES_MAX = 5_000
"""Maximum number of files that are not in the repository as they are now."""

START = "refs/ccvm/start"
"""The snapshot that was taken when the guest started, in its private repository."""


def create(directory: Path, project: Path, deadline: float = math.inf) -> PrivateRepository | None:
    """Create a private repository for a project, or return None if the project is no repository.

    Its commands end before ``deadline``, as returned by ``time.monotonic``.
    """
    found = metadata_of(project)
    if found is None:
        return None
    _, objects = found
    shutil.rmtree(directory, ignore_errors=True)
    for name in ("objects/info", "objects/pack", "refs"):
        (directory / name).mkdir(parents=True, mode=0o700)
    (directory / "HEAD").write_text("ref: refs/heads/none\n")
    (directory / "objects" / "info" / "alternates").write_bytes(os.fsencode(objects.resolve()) + b"\n")
    return PrivateRepository(directory, project, deadline)


def take(repository: PrivateRepository) -> str:
    """Store the project's files, those that Git ignores excepted, and return the tree's name.

    Raises UserError if Git fails.
    """
    found = metadata_of(repository.project)
    index = repository.directory / "index"
    index.unlink(missing_ok=True)
    if found is not None and (found[0] / "index").is_file():
        shutil.copy2(found[0] / "index", index)  # with its times, which Git compares with those of the files
    listing = repository.run(
        "ls-files", "-z", "--modified", "--deleted", "--others", "--exclude-standard", "--deduplicate"
    )
    present, missing = _sorted_out(repository.project, listing.split(b"\0"))
    for options, names in (("--force-remove",), missing), (("--add", "--replace"), present):
        repository.run("update-index", "-z", *options, "--stdin", data=b"".join(name + b"\0" for name in names))
    return repository.run("write-tree").decode().strip()


def remember_start(repository: PrivateRepository) -> None:
    """Take the snapshot that later ones are compared with. Raises UserError if Git fails."""
    tree = take(repository)
    reference = repository.directory / START
    reference.parent.mkdir(parents=True, exist_ok=True)
    reference.write_text(tree + "\n")


def ignored(directory: Path, project: Path, paths: Iterable[str]) -> frozenset[str]:
    """Return those of ``paths`` in a project that its .gitignore files exclude. Directories end with a slash.

    The result is empty if the project is no repository or Git fails. ``directory`` is that of a private repository,
    which is created if necessary.
    """
    try:
        known = (directory / "HEAD").exists()
        repository = PrivateRepository(directory, project) if known else create(directory, project)
        data = b"".join(os.fsencode(path) + b"\0" for path in paths)
        if repository is None or not data:
            return frozenset()
        output = repository.run("check-ignore", "-z", "--no-index", "--stdin", data=data, statuses=(0, 1))
        return frozenset(os.fsdecode(path) for path in output.split(b"\0") if path)
    except (UserError, OSError):
        return frozenset()


def start_of(repository: PrivateRepository) -> str | None:
    """Return the tree of the first snapshot, or None if there is none."""
    try:
        return (repository.directory / START).read_text().strip()
    except FileNotFoundError:
        return None


def _sorted_out(project: Path, names: Iterable[bytes]) -> tuple[list[bytes], list[bytes]]:
    """Return the names of files and symbolic links that are not too large, and those of files that are missing.

    A file behind a symbolic link is missing, as it is for Git.
    """
    root, links = os.fsencode(project), dict[bytes, bool]()
    present, missing = [], []
    for name in names:
        if not name or name.endswith(b"/"):  # a repository in the project
            continue
        try:
            info = os.lstat(os.path.join(root, name))  # noqa: PTH118 - names are bytes
        except OSError:
            info = None
        if info is None or _is_behind_a_link(root, name, links):
            missing.append(name)
        elif stat.S_ISLNK(info.st_mode) or (stat.S_ISREG(info.st_mode) and info.st_size <= FILE_MAX):
            present.append(name)
    return present[:FILES_MAX], missing


def _is_behind_a_link(root: bytes, name: bytes, known: dict[bytes, bool]) -> bool:
    above = name.rpartition(b"/")[0]
    if not above:
        return False
    if above not in known:
        path = os.path.join(root, above)  # noqa: PTH118 - names are bytes
        known[above] = os.path.islink(path) or _is_behind_a_link(root, above, known)  # noqa: PTH114 - names are bytes
    return known[above]
