"""Snapshots of Debian's archive that recipes of guest images are pinned to.

A recipe is pinned if the last component of its ``mirror`` is a time, such as ``20261101T000000Z``. Archives of
snapshots serve the state of any time: that of the last snapshot before it.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

MAXIMUM_AGE = timedelta(days=28)
"""The age from which a snapshot is replaced."""

_TIME = "%Y%m%dT%H%M%SZ"
_PINNED = re.compile(r"(?P<archive>.*/)(?P<time>[0-9]{8}T[0-9]{6}Z)/?")


@dataclass(frozen=True)
class SnapshotChange:
    """A recipe whose snapshot is replaced."""

    recipe: str
    suite: str
    old: datetime
    new: datetime
    mirror: str


def pinned(recipe: str) -> tuple[str, datetime] | None:
    """Return the mirror of a recipe and the time of its snapshot, or None if it is not pinned to a snapshot.

    Raises ValueError if the recipe is not TOML.
    """
    mirror = tomllib.loads(recipe).get("mirror")
    match = _PINNED.fullmatch(mirror) if isinstance(mirror, str) else None
    if not match:
        return None
    try:
        return str(mirror), datetime.strptime(match["time"], _TIME).replace(tzinfo=UTC)
    except ValueError:
        return None


def renewed(name: str, recipe: str, now: datetime) -> tuple[str, SnapshotChange | None]:
    """Return the recipe with a snapshot of yesterday if its own is older than ``MAXIMUM_AGE``, and the change.

    Raises ValueError if the recipe is not TOML, or its mirror is not written as it is read.
    """
    found = pinned(recipe)
    if found is None or now - found[1] <= MAXIMUM_AGE:
        return recipe, None
    mirror, old = found
    new = (now - timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    changed = mirror.replace(old.strftime(_TIME), new.strftime(_TIME))
    if f'"{mirror}"' not in recipe:
        raise ValueError(f'{name} does not contain the text "{mirror}"')
    suite = str(tomllib.loads(recipe).get("suite", ""))
    return recipe.replace(f'"{mirror}"', f'"{changed}"'), SnapshotChange(name, suite, old, new, changed)
