"""The user's ``config.toml``: parsing, validation, and errors with the file, the line and the nearest valid key."""

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
"""The name of the table with one section per project: ``[project."~/src/app"]``."""

_GROUPS = frozenset(name.partition(".")[0] for name in SCHEMA if "." in name)


@dataclass(frozen=True, slots=True)
class Section:
    """The validated values of one section and their places in the file, both by the setting's name."""

    values: dict[str, object] = field(default_factory=dict)
    places: dict[str, Place] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A parsed configuration file.

    ``user`` applies to all projects. Each section in ``projects`` applies to the project with that resolved path.
    """

    path: Path
    text: str = ""
    user: Section = field(default_factory=Section)
    projects: dict[str, Section] = field(default_factory=dict)

    def line(self, place: Place) -> int:
        """Return the line number of a key, counted from 1, or 0 if the file does not contain the key."""
        return key_lines(self.text).get(place, 0)


def read(path: Path) -> ConfigFile:
    """Parse the file ``path``; a missing file is empty. Raises ConfigError if it cannot be read or is invalid."""
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
        raise _syntax_error(path, text, str(error)) from error
    return _Reader(path, text).file(tables)


def _syntax_error(path: Path, text: str, message: str) -> ConfigError:
    position = re.search(r" \(at line (\d+), column \d+\)$", message)
    line = int(position[1]) if position else text.rstrip("\n").count("\n") + 1
    reason = message[: position.start()] if position else message.removesuffix(" (at end of document)")
    return ConfigError(f"{path}:{line}: {reason}", "see https://toml.io for the syntax of the file")


class _Reader:
    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        self._text = text

    def file(self, tables: dict[str, Any]) -> ConfigFile:
        projects = tables.get(PROJECT, {})
        if not isinstance(projects, dict):
            raise self._error((PROJECT,), 'project must be sections: [project."/path/to/project"]')
        user = self._section({key: value for key, value in tables.items() if key != PROJECT}, (), per_project=False)
        sections: dict[str, Section] = {}
        for name, table in projects.items():
            place = (PROJECT, name)
            if not isinstance(table, dict):
                raise self._error(place, f'{name} must be a section: [project."{name}"]')
            root = Path(name).expanduser()
            if not root.is_absolute():
                raise self._error(place, f'the path of a project section must be absolute or start with ~: "{name}"')
            resolved = os.path.realpath(root)
            if resolved in sections:
                raise self._error(place, f"two sections are for the project {resolved}")
            sections[resolved] = self._section(table, place, per_project=True)
        return ConfigFile(self._path, self._text, user, sections)

    def _section(self, table: dict[str, Any], above: Place, *, per_project: bool) -> Section:
        section = Section()
        self._fill(section, table, above, "", per_project)
        if not per_project:
            self._reject_duplicate_keys(section)
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
                raise self._error(place, f"{name} cannot be set per project: set it above the project sections")
            try:
                section.values[name] = setting.kind.check(value)
            except ValueError as error:
                raise self._error(place, f"{name} must be {error}, not {_abbreviated(value)}") from error
            section.places[name] = place

    def _reject_duplicate_keys(self, section: Section) -> None:
        """Raise ConfigError if two actions are bound to the same key after the leader."""
        keys = {name: row.default for name, row in SCHEMA.items() if name.startswith("keys.")}
        keys |= {name: value for name, value in section.values.items() if name in keys}
        bound: dict[object, str] = {}
        for name in sorted(keys, key=lambda name: name in section.values):
            other = bound.setdefault(keys[name], name)
            if other != name:
                place = section.places[name]
                raise self._error(place, f'{name} and {other} are both bound to the key "{keys[name]}"')

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
    """Return the entry of ``known`` that is most similar to ``name``, or an empty string if none is similar.

    Case and the characters ``_``, ``-`` and ``.`` are ignored.
    """
    plain = {re.sub(r"[-_.]", "", entry.lower()): entry for entry in known}
    close = difflib.get_close_matches(re.sub(r"[-_.]", "", name.lower()), plain, n=1, cutoff=0.6)
    return plain[close[0]] if close else ""


def _abbreviated(value: object) -> str:
    text = repr(value) if not isinstance(value, bool) else str(value).lower()
    return text if len(text) <= 60 else text[:57] + "…"
