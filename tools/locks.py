"""Lock files of Nix flakes (flake.lock, versions 5 to 7), and the differences between two of them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

VERSIONS = (5, 6, 7)
"""The versions of the format that can be read. They differ only in attributes that are not used here."""

_FORGES = {"github": "github.com", "gitlab": "gitlab.com", "sourcehut": "git.sr.ht"}
_PLAIN_NAME = re.compile(r"[A-Za-z0-9~._-]+(/[A-Za-z0-9~._-]+)+")
_PLAIN_URL = re.compile(r"https://[A-Za-z0-9.-]+(:[0-9]+)?(/[A-Za-z0-9~._%@+=?&/-]*)?")
_REVISION = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


class LockError(Exception):
    """A text is not a valid lock file."""


@dataclass(frozen=True)
class Locked:
    """A locked input. ``source`` does not contain the revision; ``revision`` is empty if the input has none."""

    kind: str
    source: str
    revision: str
    nar_hash: str
    modified: date | None
    page: str = ""
    """The address of the source's page, or empty if the source has none that can be linked to."""

    @property
    def label(self) -> str:
        """The short form of the revision, or else of the hash of the content."""
        return self.revision[:9] if self.revision else self.nar_hash[:16]

    @property
    def link(self) -> str:
        """The address of the locked revision, or of the source, or empty."""
        if not self.page or not self.revision or self.kind not in _FORGES:
            return self.page
        return f"{self.page}{'/-' if self.kind == 'gitlab' else ''}/commit/{self.revision}"


@dataclass(frozen=True)
class Follows:
    """An input that is the same as another one. ``path`` is the other's path, empty for none."""

    path: str


Input = Locked | Follows


@dataclass(frozen=True)
class Change:
    """An input that was added (``old`` is None), removed (``new`` is None) or changed."""

    path: str
    old: Input | None
    new: Input | None

    @property
    def comparison(self) -> str:
        """The address of the list of commits between both revisions, or empty if there is none."""
        old, new = self.old, self.new
        if not isinstance(old, Locked) or not isinstance(new, Locked) or old.source != new.source:
            return ""
        if not new.page or not old.revision or not new.revision or new.kind not in ("github", "gitlab"):
            return ""
        return f"{new.page}{'/-' if new.kind == 'gitlab' else ''}/compare/{old.revision}...{new.revision}"


def parse(text: str) -> dict[str, Input]:
    """Return all inputs of a lock file by their paths, such as ``home-manager/nixpkgs``.

    Raises LockError if the text is not a valid lock file.
    """
    try:
        lock = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise LockError(f"not valid JSON: {error}") from error
    version = _table(lock, "the lock file").get("version")
    if type(version) is not int or version not in VERSIONS:
        raise LockError(f"the version of the format is {version!r}, and not one of {VERSIONS}")
    nodes = _table(lock.get("nodes"), "nodes")
    root = _text(lock.get("root"), "root")
    inputs: dict[str, Input] = {}
    seen = {root}
    waiting = [("", root)]
    while waiting:
        prefix, name = waiting.pop()
        node = _table(nodes.get(name), f"the node {name!r}")
        for key, target in sorted(_table(node.get("inputs", {}), f"inputs of {name!r}").items()):
            path = prefix + key
            if isinstance(target, list):
                inputs[path] = Follows("/".join(_text(part, f"inputs of {name!r}") for part in target))
                continue
            target_name = _text(target, f"the input {path!r}")
            target_node = _table(nodes.get(target_name), f"the node {target_name!r}")
            inputs[path] = _locked(_table(target_node.get("locked"), f"locked of {target_name!r}"), target_name)
            if target_name not in seen:  # in a valid file each node is the input of one other
                seen.add(target_name)
                waiting.append((f"{path}/", target_name))
    return inputs


def compare(old: Mapping[str, Input], new: Mapping[str, Input]) -> list[Change]:
    """Return the differences between two lock files, in the order of the paths."""
    changes = [Change(path, old.get(path), new.get(path)) for path in sorted(old.keys() | new.keys())]
    return [change for change in changes if change.old != change.new]


def _locked(table: Mapping[str, Any], name: str) -> Locked:
    def text(key: str) -> str:
        return _text(table.get(key, ""), f"{key} of {name!r}")

    kind, revision = text("type"), text("rev")
    if not kind:
        raise LockError(f"the node {name!r} has no type")
    if revision and not _REVISION.fullmatch(revision):
        raise LockError(f"the node {name!r} has the revision {revision!r}, which is not a hash")
    if kind in _FORGES:
        source = f"{text('owner')}/{text('repo')}"
        host = text("host") or _FORGES[kind]
        location = source.replace("%2F", "/")  # groups of GitLab can be nested
        page = f"https://{host}/{location}" if _PLAIN_NAME.fullmatch(location) else ""
        source = f"{kind}:{source}" + (f" on {host}" if text("host") else "")
    else:
        source = text("url") or text("path") or text("id")
        page = source.removeprefix("git+")
        source = f"{kind}:{source}"
    if not _PLAIN_URL.fullmatch(page):
        page = ""
    return Locked(kind, source, revision, text("narHash"), _date(table.get("lastModified"), name), page)


def _date(value: object, name: str) -> date | None:
    if value is None:
        return None
    if type(value) is not int:
        raise LockError(f"lastModified of {name!r} is not a number")
    try:
        return datetime.fromtimestamp(value, UTC).date()
    except (ValueError, OverflowError, OSError) as error:
        raise LockError(f"lastModified of {name!r} is not a time: {value}") from error


def _table(value: object, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise LockError(f"{name} is missing or not an object")
    return value


def _text(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise LockError(f"{name} is missing or not a string")
    return value
