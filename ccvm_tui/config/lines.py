"""The line numbers of the keys in a TOML text, which tomllib does not report.

The text is parsed repeatedly, up to the end of each line, so that no second parser is needed. A key is on the last line
of the shortest prefix in which it appears. A prefix that ends within a multi-line value does not parse. The key is then
on the line after the last prefix that parsed.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

Place = tuple[str, ...]
"""A key, preceded by the tables that contain it, outermost first."""


def key_lines(text: str) -> dict[Place, int]:
    """Return the line number, counted from 1, of every key in ``text``, which must be valid TOML.

    The running time is quadratic in the number of lines, so use it only for error messages and listings.
    """
    found: dict[Place, int] = {}
    lines = text.split("\n")
    first = 1
    for number in range(1, len(lines) + 1):
        try:
            tables = tomllib.loads("\n".join(lines[:number]))
        except tomllib.TOMLDecodeError:
            continue
        for place in _places(tables):
            found.setdefault(place, first)
        first = number + 1
    return found


def _places(table: dict[str, Any], above: Place = ()) -> Iterator[Place]:
    for key, value in table.items():
        yield (*above, key)
        if isinstance(value, dict):
            yield from _places(value, (*above, key))
