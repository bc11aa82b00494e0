"""The commands that an attempt's guest runs, and the parsing of their output, which can have any content."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ccvm_tui.attempt.names import BRANCH_MAX
from ccvm_tui.errors import UserError

HEADER_MAX: Final = 1 << 20
"""Maximum length of the part of the output before a pack."""

COUNT_MAX: Final = 10**9
"""The largest number that is shown."""

_SCRIPT: Final = Path(__file__).with_name("guest.sh")
_OBJECT: Final = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Places:
    """The directories of an attempt in its guest: the host's checkout, and the clone."""

    project: str
    clone: str

    def command(self, operation: str, *arguments: str) -> tuple[str, ...]:
        """Return the command for an operation of the script."""
        return (
            "sh",
            "-c",
            _SCRIPT.read_text(encoding="utf-8"),
            "attempt",
            operation,
            self.project,
            self.clone,
            *arguments,
        )


@dataclass(frozen=True, slots=True)
class State:
    """The state of an attempt.

    ``branch`` is the current branch, empty if HEAD is detached, and ``head`` its commit, empty if there is none.
    ``ahead`` and ``behind`` are the commits that only the attempt or only the host's current branch has. ``changed`` is
    the number of files that differ from the commit from which the attempt started, ``uncommitted`` the number of those
    that differ from ``head``, ``unfetched`` the number of commits that the host lacks. ``refs`` are the commits of the
    branches, and ``files`` a commit of the files as they are now, if they were requested.
    """

    branch: str = ""
    head: str = ""
    ahead: int = 0
    behind: int = 0
    changed: int = 0
    uncommitted: int = 0
    unfetched: int = 0
    refs: dict[str, str] = field(default_factory=dict)
    files: str = ""


def parse(output: bytes) -> State:
    """Return the state that the script has printed. Raises UserError if the output is not valid."""
    try:
        return _parse(output.decode("utf-8", "replace").split("\n"))
    except (ValueError, KeyError) as error:
        raise UserError("the guest reports a state of its attempt that is not valid", "see `ccvm-tui exec`") from error


def _parse(lines: Iterable[str]) -> State:
    """Parse the output of ``git status --porcelain=v2 --branch`` (git-status(1)), and the lines that follow it."""
    values: dict[str, str] = {}
    refs: dict[str, str] = {}
    tracked = untracked = 0
    for line in lines:
        key, _, value = line.partition(" ")
        match key:
            case "#":
                name, _, value = value.partition(" ")
                values[name] = value
            case "1" | "2" | "u":
                tracked += 1
            case "?":
                untracked += 1
            case "ref":
                commit, _, name = value.partition(" ")
                refs[name.removeprefix("refs/heads/")] = _object(commit)
            case _:
                values[key] = value
    behind, ahead = values.get("apart", "0 0").split(" ")
    branch, head = values["branch.head"], values["branch.oid"]
    return State(
        branch="" if branch == "(detached)" else branch[:BRANCH_MAX],
        head="" if head == "(initial)" else _object(head),
        ahead=_count(ahead),
        behind=_count(behind),
        changed=min(untracked + (_count(values["changed"]) if "changed" in values else tracked), COUNT_MAX),
        uncommitted=tracked + untracked,
        unfetched=_count(values.get("unfetched", "0")),
        refs=refs,
        files=_object(values["files"]) if values.get("files") else "",
    )


def _object(text: str) -> str:
    if not _OBJECT.fullmatch(text):
        raise ValueError(text)
    return text


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise ValueError(text)
    return min(int(text[:12]), COUNT_MAX)
