"""The line numbers of the keys in a TOML text, which neither tomllib nor tomlkit reports.

The text is divided into statements (a table header, or a key with its value), each of which is a valid TOML text, so
that no second parser is needed. A statement that does not parse continues on the next line.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

Place = tuple[str, ...]
"""A key, preceded by the tables that contain it, outermost first."""


def key_lines(text: str) -> dict[Place, int]:
    """Return the line number, counted from 1, of every key in ``text``, which must be valid TOML."""
    found: dict[Place, int] = {}
    table: Place = ()
    statement = ""
    first = 1
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        statement += f"{line}\n"
        try:
            parsed = tomllib.loads(statement)
        except tomllib.TOMLDecodeError:
            continue
        is_header = statement.lstrip().startswith("[")
        places = list(_places(parsed, () if is_header else table))
        for place in places:
            found.setdefault(place, first)
        if is_header:
            table = places[-1]
        statement, first = "", number + 1
    return found


def _places(table: dict[str, Any], above: Place = ()) -> Iterator[Place]:
    for key, value in table.items():
        yield (*above, key)
        if isinstance(value, dict):
            yield from _places(value, (*above, key))
