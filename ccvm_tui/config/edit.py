"""Changing one setting in the user's ``config.toml``, and nothing else in it."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path

from ccvm_tui import paths
from ccvm_tui.config.lines import key_lines
from ccvm_tui.errors import ConfigError


def with_value(text: str, name: str, value: str) -> str:
    """Return a configuration in which the setting ``name``, outside of all sections, is the string ``value``.

    ``text`` must be valid TOML. Everything else in it, comments included, is kept. Raises ValueError if the present
    value is not a string on one line.
    """
    quoted = json.dumps(value, ensure_ascii=False)
    lines = text.split("\n")
    if number := key_lines(text).get((name,), 0):
        found = re.fullmatch(r"""(\s*[\w"'-]+\s*=\s*)(?:"[^"\\]*"|'[^']*')(\s*(?:#.*)?)""", lines[number - 1])
        if found is None:
            raise ValueError(f"the value of {name} is not a string on one line")
        lines[number - 1] = f"{found[1]}{quoted}{found[2]}"
    else:
        lines.insert(0, f"{name} = {quoted}")  # above the first section
    new = "\n".join(lines)
    if tomllib.loads(new) != tomllib.loads(text) | {name: value}:
        raise ValueError(f"{name} cannot be changed automatically")
    return new


def set_value(name: str, value: str) -> Path:
    """Set ``name`` to the string ``value`` in the user's file, creating it if necessary, and return its path.

    Raises ConfigError, whose hint is the line to write, if the file cannot be changed.
    """
    path = paths.config_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        path.write_text(with_value(text, name, value), encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        line = f"{name} = {json.dumps(value, ensure_ascii=False)}"
        raise ConfigError(f"cannot change {path}: {reason}", f"write the line `{line}` above its sections") from error
    return path


def with_project_list(text: str, project: str, name: str, values: Sequence[str]) -> str:
    """Return a configuration in which the list ``name`` in the section of ``project`` has ``values`` as well.

    Everything else in it, comments included, is kept. Raises ValueError if that is not possible automatically.
    """
    before = tomllib.loads(text)
    section = before.get("project", {}).get(project, {})
    wanted = list(dict.fromkeys((*section.get(name, ()), *values)))
    line = f"{name} = {json.dumps(wanted, ensure_ascii=False)}"
    lines = text.split("\n")
    places = key_lines(text)
    if number := places.get(("project", project, name), 0):
        lines[number - 1] = line
    elif number := places.get(("project", project), 0):
        lines.insert(number, line)
    else:
        while lines and not lines[-1].strip():
            lines.pop()
        lines += [*([""] if lines else []), f"[project.{json.dumps(project, ensure_ascii=False)}]", line, ""]
    new = "\n".join(lines)
    expected = {**before, "project": {**before.get("project", {}), project: {**section, name: wanted}}}
    try:
        changed = tomllib.loads(new) == expected
    except tomllib.TOMLDecodeError:  # the value has several lines
        changed = False
    if not changed:
        raise ValueError(f"{name} cannot be changed automatically")
    return new


def add_to_project(project: str, name: str, values: Sequence[str]) -> Path:
    """Add ``values`` to the list ``name`` of a project in the user's file, and return its path.

    Raises ConfigError, whose hint has the lines to write, if the file cannot be changed.
    """
    path = paths.config_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        path.write_text(with_project_list(text, project, name, values), encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        section = f"[project.{json.dumps(project, ensure_ascii=False)}]"
        hint = f"add {json.dumps(list(values), ensure_ascii=False)} to {name} in its section {section}"
        raise ConfigError(f"cannot change {path}: {reason}", hint) from error
    return path
