"""The user's config.toml: read, checked whole, and every complaint with file, line and nearest valid key."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ccvm_tui.config.lines import Place, key_lines
from ccvm_tui.config.settings import SCHEMA
from ccvm_tui.errors import ConfigError

PROJECT = "project"
"""The table with one section for each project: ``[project."~/src/app"]``."""

_GROUPS = frozenset(name.partition(".")[0] for name in SCHEMA if "." in name)


@dataclass(frozen=True, slots=True)
class Section:
    """The checked values of one section, by name, and where each of them stands."""

    values: dict[str, object] = field(default_factory=dict)
    places: dict[str, Place] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """``user`` holds for everything, ``projects`` (by resolved path) for one project each."""

    path: Path
    text: str = ""
    user: Section = field(default_factory=Section)
    projects: dict[str, Section] = field(default_factory=dict)

    def line(self, place: Place) -> int:
        """The line of a key, from 1; 0 if it is not in the file."""
        return key_lines(self.text).get(place, 0)


def read(path: Path) -> ConfigFile:
    """The settings in ``path``; none if there is no such file. Raises ConfigError."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ConfigFile(path)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(f"cannot read {path}: {reason}") from error
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _syntax(path, text, str(error)) from error
    return _Reader(path, text).file(tables)


def _syntax(path: Path, text: str, complaint: str) -> ConfigError:
    where = re.search(r" \(at line (\d+), column \d+\)$", complaint)
    line = int(where[1]) if where else text.rstrip("\n").count("\n") + 1
    what = complaint[: where.start()] if where else complaint.removesuffix(" (at end of document)")
    return ConfigError(f"{path}:{line}: {what}", "see https://toml.io for the file's syntax")


class _Reader:
    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        self._text = text

    def file(self, tables: dict[str, Any]) -> ConfigFile:
        projects = tables.get(PROJECT, {})
        if not isinstance(projects, dict):
            raise self._error((PROJECT,), 'project must be sections: [project."/path/of/it"]')
        user = self._section({key: value for key, value in tables.items() if key != PROJECT}, (), per_project=False)
        sections: dict[str, Section] = {}
        for name, table in projects.items():
            place = (PROJECT, name)
            if not isinstance(table, dict):
                raise self._error(place, f'{name} must be a section: [project."{name}"]')
            root = Path(name).expanduser()
            if not root.is_absolute():
                raise self._error(place, f'the path of a project section must be absolute or begin with ~: "{name}"')
            resolved = os.path.realpath(root)
            if resolved in sections:
                raise self._error(place, f"two sections name the project {resolved}")
            sections[resolved] = self._section(table, place, per_project=True)
        return ConfigFile(self._path, self._text, user, sections)

    def _section(self, table: dict[str, Any], above: Place, *, per_project: bool) -> Section:
        section = Section()
        self._fill(section, table, above, "", per_project)
        if not per_project:
            self._no_key_twice(section)
        return section

    def _fill(self, section: Section, table: dict[str, Any], above: Place, prefix: str, per_project: bool) -> None:
        for key, value in table.items():
            name, place = prefix + key, (*above, key)
            if name in _GROUPS and isinstance(value, dict):
                self._fill(section, value, place, f"{name}.", per_project)
                continue
            if name in _GROUPS:
                raise self._error(place, f"{name} must be a section: [{name}]")
            setting = SCHEMA.get(name)
            if setting is None:
                raise self._unknown(place, name, per_project)
            if per_project and not setting.per_project:
                raise self._error(place, f"{name} cannot differ from project to project: set it above the sections")
            try:
                section.values[name] = setting.kind.check(value)
            except ValueError as error:
                raise self._error(place, f"{name} must be {error}, not {_shown(value)}") from error
            section.places[name] = place

    def _no_key_twice(self, section: Section) -> None:
        """Two things on one key after the leader: one of them could never be reached."""
        keys = {name: row.default for name, row in SCHEMA.items() if name.startswith("keys.")}
        keys |= {name: value for name, value in section.values.items() if name in keys}
        seen: dict[object, str] = {}
        for name in sorted(keys, key=lambda name: name in section.values):
            other = seen.setdefault(keys[name], name)
            if other != name:
                place = section.places[name]
                raise self._error(place, f'{name} and {other} are both on the key "{keys[name]}"')

    def _unknown(self, place: Place, name: str, per_project: bool) -> ConfigError:
        known = [row.name for row in SCHEMA.values() if row.per_project or not per_project]
        known += [] if per_project else [*_GROUPS, PROJECT]
        near = nearest(name, known)
        return self._error(
            place, f"unknown key {name}" + (f' (did you mean "{near}"?)' if near else ""), "see `ccvm-tui config`"
        )

    def _error(self, place: Place, message: str, hint: str = "") -> ConfigError:
        line = key_lines(self._text).get(place, 0)
        return ConfigError(f"{self._path}:{line}: {message}", hint)


def nearest(name: str, known: list[str]) -> str:
    """The one of ``known`` that ``name`` probably means; empty when none is close. Case and _ - . do not count."""
    plain = {re.sub(r"[-_.]", "", one.lower()): one for one in known}
    close = difflib.get_close_matches(re.sub(r"[-_.]", "", name.lower()), plain, n=1, cutoff=0.6)
    return plain[close[0]] if close else ""


def _shown(value: object) -> str:
    text = repr(value) if not isinstance(value, bool) else str(value).lower()
    return text if len(text) <= 60 else text[:57] + "…"
