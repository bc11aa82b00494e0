"""Version ranges of the Python dependencies in pyproject.toml, and ranges that exclude the newest version.

The ranges are those that this project uses: ``>=`` and ``<``, or ``==``. Others are reported and left alone.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass

_REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(?P<extras>\[[^\]]*\])?(?P<ranges>[<=>][^;@]*)?")
_RANGE = re.compile(r"(?P<operator>>=|<|==)(?P<version>[0-9]+(?:\.[0-9]+)*)(?P<rest>[A-Za-z0-9.]*)")
_VERSION = re.compile(r"([0-9]+(?:\.[0-9]+)*)[A-Za-z0-9.+_-]*")


class RangeError(Exception):
    """A project file, a report or a requirement that cannot be interpreted."""


@dataclass(frozen=True)
class RangeChange:
    """A requirement that excludes ``newest``, the newest version, and the requirement that includes it."""

    name: str
    old: str
    new: str
    newest: str


def requirements(project: str) -> list[str]:
    """Return all requirements of a pyproject.toml, those of its extras included, each once.

    Raises RangeError if the text is not a valid project file.
    """
    try:
        table = tomllib.loads(project)["project"]
        optional = table.get("optional-dependencies", {}).values()
        found = [*table.get("dependencies", []), *(item for items in optional for item in items)]
    except (tomllib.TOMLDecodeError, KeyError, TypeError, AttributeError) as error:
        raise RangeError(f"pyproject.toml cannot be interpreted: {error}") from error
    if not all(isinstance(item, str) for item in found):
        raise RangeError("pyproject.toml cannot be interpreted: a requirement is not a string")
    return list(dict.fromkeys(found))


def name_of(requirement: str) -> str:
    """Return the normalized name of a requirement's package. Raises RangeError if it has none."""
    match = re.match(_REQUIREMENT, requirement)
    if not match:
        raise RangeError(f"{requirement!r} is not a requirement")
    return _normalized(match["name"])


def parse_report(text: str) -> dict[str, str]:
    """Return the versions in a report of ``pip install --report`` by normalized names.

    Raises RangeError if the text is not such a report.
    """
    try:
        items = [item["metadata"] for item in json.loads(text)["install"]]
        return {_normalized(item["name"]): str(item["version"]) for item in items}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RangeError(f"pip's report cannot be interpreted: {error!r}") from error


def stale(project: str, newest: Mapping[str, str]) -> tuple[list[RangeChange], list[str]]:
    """Return the changes that make the ranges of a project file include the newest versions.

    The second list contains the requirements that cannot be judged, because of their form or because their newest
    version is unknown.
    """
    changes, unknown = [], []
    for requirement in requirements(project):
        name = name_of(requirement)
        try:
            changed = widened(requirement, newest[name])
        except (RangeError, KeyError):
            unknown.append(requirement)
            continue
        if changed != requirement:
            changes.append(RangeChange(name, requirement, changed, newest[name]))
    return changes, unknown


def widened(requirement: str, newest: str) -> str:
    """Return the requirement, changed to include the version ``newest`` if it is above the range.

    An upper bound keeps its number of components: if 9.2.1 is above ``<9``, the bound becomes ``<10``; if 0.12.3 is
    above ``<0.12``, it becomes ``<0.13``. A pinned version becomes the newest one. Lower bounds do not change.
    Raises RangeError if the requirement or the version has another form.
    """
    match = _REQUIREMENT.fullmatch(requirement.replace(" ", ""))
    version = _VERSION.fullmatch(newest)
    if not match or not version:
        raise RangeError(f"{requirement!r} or {newest!r} has a form that cannot be changed")
    release = [int(part) for part in version[1].split(".")]
    parts = []
    for text in (match["ranges"] or "").split(",") if match["ranges"] else []:
        part = _RANGE.fullmatch(text)
        if not part:
            raise RangeError(f"{requirement!r} has a form that cannot be changed")
        bound = [int(number) for number in part["version"].split(".")]
        if part["operator"] == "<" and _trimmed(release) >= _trimmed(bound):
            text = f"<{_above(release, len(bound))}"
        elif part["operator"] == "==" and _trimmed(release) > _trimmed(bound):
            text = f"=={newest}"
        parts.append(text)
    if ",".join(parts) == (match["ranges"] or ""):
        return requirement
    return match["name"] + (match["extras"] or "") + ",".join(parts)


def apply(project: str, changes: list[RangeChange]) -> str:
    """Return the text of the project file with the changed requirements. All other text stays as it is.

    Raises RangeError if a requirement is not found, because it is written with escapes or other quotes.
    """
    for change in changes:
        if f'"{change.old}"' not in project:
            raise RangeError(f'pyproject.toml does not contain the text "{change.old}"')
        project = project.replace(f'"{change.old}"', f'"{change.new}"')
    return project


def _above(release: list[int], length: int) -> str:
    parts = [*release, *([0] * length)][:length]
    return ".".join(str(part) for part in [*parts[:-1], parts[-1] + 1])


def _trimmed(release: list[int]) -> list[int]:
    while release and release[-1] == 0:
        release = release[:-1]
    return release


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
