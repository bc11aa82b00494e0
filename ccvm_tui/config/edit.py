"""Changing one setting in the user's ``config.toml``, and nothing else in it."""

from __future__ import annotations

import json
import re
import tomllib
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
