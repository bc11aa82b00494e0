"""The settings in effect: flag over variable over project section over user config over default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from ccvm_tui import paths
from ccvm_tui.config import file
from ccvm_tui.config.file import ConfigFile
from ccvm_tui.config.lines import Place
from ccvm_tui.config.settings import SCHEMA, Setting, Settings, build
from ccvm_tui.errors import ConfigError


class Source(StrEnum):
    """The source of a value. Each source overrides the ones before it."""

    DEFAULT = "default"
    USER = "user config"
    PROJECT = "project section"
    VARIABLE = "variable"
    FLAG = "flag"


@dataclass(frozen=True, slots=True)
class Origin:
    """The origin of a value. ``detail`` is the name of the variable or flag; ``place`` is the key in the file."""

    source: Source
    detail: str = ""
    place: Place = ()


@dataclass(frozen=True, slots=True)
class Effective:
    """The settings in effect, with their values and origins by name, and the file that was read."""

    settings: Settings
    values: dict[str, object]
    origins: dict[str, Origin]
    file: ConfigFile


def resolve(
    project: Path | None,
    environ: Mapping[str, str],
    flags: Mapping[str, object] | None = None,
    config: Path | None = None,
) -> Effective:
    """Return the settings in effect for ``project``, which is a resolved path, or None for no project.

    ``flags`` maps names of settings to the command line's values, as text or as a TOML value, or to None for a flag
    that is not set. ``config`` is the file to read instead of the user's. Raises ConfigError if any source contains an
    unknown setting or an invalid value, even one that another source overrides.
    """
    found = file.read(config if config is not None else paths.config_file())
    values: dict[str, object] = {name: row.default for name, row in SCHEMA.items()}
    origins = dict.fromkeys(SCHEMA, Origin(Source.DEFAULT))
    sections = [(found.user, Source.USER)]
    if project is not None and (section := found.projects.get(str(project))) is not None:
        sections.append((section, Source.PROJECT))
    for section, source in sections:
        for name, value in section.values.items():
            values[name] = value
            origins[name] = Origin(source, place=section.places[name])
    for row in SCHEMA.values():
        if (found_variable := row.from_variables(environ)) is not None:
            variable, text = found_variable
            values[row.name] = _from_text(row, text, variable)
            origins[row.name] = Origin(Source.VARIABLE, variable)
    for name, given in (flags or {}).items():
        if given is not None:
            row = SCHEMA[name]
            values[name] = _from_text(row, given, row.flag) if isinstance(given, str) else given
            origins[name] = Origin(Source.FLAG, row.flag)
    return Effective(build(values), values, origins, found)


def _from_text(row: Setting, text: str, origin: str) -> object:
    try:
        return row.kind.check(row.kind.parse(text))
    except ValueError as error:
        raise ConfigError(f"{origin} must be {error}, not {text!r}", "see `ccvm-tui config`") from error
