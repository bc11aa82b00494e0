"""The steps by which changes are applied to the host, their inverses, and their form in the journal. Without I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ccvm_tui.review.model import ABSENT, Kind, Version


@dataclass(frozen=True, slots=True)
class Put:
    """Replace the version ``before`` of a file by ``after``; each can be absent.

    ``blob`` is the name of a file in the journal with the content of ``before``, if that is a regular file.
    """

    place: str
    before: Version
    after: Version
    blob: str = ""


@dataclass(frozen=True, slots=True)
class Move:
    """Rename a file or a directory."""

    old: str
    new: str


@dataclass(frozen=True, slots=True)
class MakeDirectory:
    """Create a directory."""

    place: str
    mode: int


@dataclass(frozen=True, slots=True)
class RemoveDirectory:
    """Remove a directory, which is empty."""

    place: str
    mode: int


Step = Put | Move | MakeDirectory | RemoveDirectory


def inverse(step: Step) -> Step:
    """Return the step that undoes ``step``."""
    match step:
        case Put(place, before, after, blob):
            return Put(place, after, before, blob)
        case Move(old, new):
            return Move(new, old)
        case MakeDirectory(place, mode):
            return RemoveDirectory(place, mode)
        case RemoveDirectory(place, mode):
            return MakeDirectory(place, mode)


def places(step: Step) -> tuple[str, ...]:
    """Return the paths that a step changes."""
    return (step.old, step.new) if isinstance(step, Move) else (step.place,)


def encode(step: Step) -> dict[str, Any]:
    """Return a step for JSON. Paths are surrogate-escaped (PEP 383)."""
    match step:
        case Put(place, before, after, blob):
            return {"put": place, "before": _encode(before), "after": _encode(after), "blob": blob}
        case Move(old, new):
            return {"move": old, "to": new}
        case MakeDirectory(place, mode):
            return {"make": place, "mode": mode}
        case RemoveDirectory(place, mode):
            return {"remove": place, "mode": mode}


def decode(value: dict[str, Any]) -> Step:
    """Decode the result of ``encode``. Raises ValueError, KeyError or TypeError if it is invalid."""
    if "put" in value:
        return Put(str(value["put"]), _decode(value["before"]), _decode(value["after"]), str(value["blob"]))
    if "move" in value:
        return Move(str(value["move"]), str(value["to"]))
    if "make" in value:
        return MakeDirectory(str(value["make"]), int(value["mode"]))
    return RemoveDirectory(str(value["remove"]), int(value["mode"]))


def _encode(version: Version) -> dict[str, Any]:
    encoded: dict[str, Any] = {"kind": str(version.kind), "mode": version.mode, "size": version.size}
    if version.kind is Kind.SYMLINK:
        encoded["target"] = (version.data or b"").decode("utf-8", "surrogateescape")
    return {**encoded, "digest": version.digest.hex()}


def _decode(value: dict[str, Any]) -> Version:
    kind = Kind(value["kind"])
    if kind is Kind.ABSENT:
        return ABSENT
    target = value["target"].encode("utf-8", "surrogateescape") if kind is Kind.SYMLINK else None
    return Version(kind, int(value["mode"]), int(value["size"]), bytes.fromhex(value["digest"]), target)
