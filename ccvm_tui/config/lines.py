"""On which line of a TOML text a key stands: tomllib does not say.

A key's line is found with the real parser and no second grammar: the text is parsed up to the end of each
line, and a key belongs to the first beginning in which it appears. A beginning that ends inside a multi-line
value does not parse; the key then stands on the line after the last one that did.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

Place = tuple[str, ...]
"""A key with the tables it is in, outermost first."""


def key_lines(text: str) -> dict[Place, int]:
    """The line, counted from 1, of every key of ``text``, which must be valid TOML.

    Takes time quadratic in the number of lines: for messages and listings, not for every start.
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
