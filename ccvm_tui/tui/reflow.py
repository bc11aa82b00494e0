"""Finding a place in the scrollback again after the session got another width and its lines were broken anew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ccvm_tui.tui.grid import EMPTY, Line

ENOUGH = 400
"""Characters that tell a place from others."""


@dataclass(frozen=True, slots=True)
class Place:
    """A line by its whole text and what follows. ``into`` is how many cells of it are above the place."""

    number: int
    text: str
    into: int


def place_of(lines: Mapping[int, Line], number: int) -> Place:
    start, into = number, 0
    while lines.get(start - 1, EMPTY).wrapped:
        start -= 1
        into += sum(run[1] for run in lines[start].runs)
    return Place(start, _text_from(lines, start), into)


def found_again(lines: Mapping[int, Line], place: Place, cols: int) -> int | None:
    """The line where the place is now: the nearest one of those that read the same."""
    starts = [number for number in lines if not lines.get(number - 1, EMPTY).wrapped]
    for number in sorted(starts, key=lambda number: abs(number - place.number)):
        text = _text_from(lines, number)
        length = min(len(text), len(place.text))
        if length and text[:length] == place.text[:length]:
            return number + place.into // max(1, cols)
    return None


def _text_from(lines: Mapping[int, Line], number: int) -> str:
    """The text from a line on, soft-wrapped lines joined."""
    text = ""
    while len(text) < ENOUGH and (line := lines.get(number)) is not None:
        piece = "".join(run[0] for run in line.runs)
        text += piece if line.wrapped else piece.rstrip() + "\n"
        number += 1
    return text[:ENOUGH]
