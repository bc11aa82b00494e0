"""The hunks of a change, their lines for display, and the content with some of them applied."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

CONTEXT = 3
"""Unchanged lines that are shown around a change."""

Block = tuple[int, int, int, int]
"""Lines ``[0]`` to ``[1]`` of the old content that are replaced by lines ``[2]`` to ``[3]`` of the new one."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a hunk. ``sign`` is " ", "-" or "+". The numbers count from 1, and are 0 on the other side.

    ``text`` includes the line end, which the last line of a file may lack.
    """

    sign: str
    text: bytes
    old: int = 0
    new: int = 0


@dataclass(frozen=True, slots=True)
class Hunk:
    """Adjacent changes of lines, which are applied together, and the unchanged lines around them."""

    blocks: tuple[Block, ...]
    lines: tuple[Line, ...]

    @property
    def header(self) -> str:
        """The header of a unified diff."""
        old = [line.old for line in self.lines if line.old]
        new = [line.new for line in self.lines if line.new]
        first = self.blocks[0]
        return f"@@ -{_range(old, first[0])} +{_range(new, first[2])} @@"

    @property
    def counts(self) -> tuple[int, int]:
        """The numbers of added and removed lines."""
        added = sum(block[3] - block[2] for block in self.blocks)
        return added, sum(block[1] - block[0] for block in self.blocks)


def _range(numbers: list[int], before: int) -> str:
    if not numbers:
        return f"{before},0"
    return str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]},{len(numbers)}"


def lines_of(data: bytes) -> list[bytes]:
    """Return the lines of ``data`` with their ends. Only a newline ends a line, as in Git."""
    lines = data.split(b"\n")
    last = lines.pop()
    return [line + b"\n" for line in lines] + ([last] if last else [])


def hunks(old: Sequence[bytes], new: Sequence[bytes], blocks: Sequence[Block]) -> list[Hunk]:
    """Return the hunks of a change that consists of ``blocks``, which are sorted and do not touch each other."""
    groups: list[list[Block]] = []
    for block in blocks:
        if groups and block[0] - groups[-1][-1][1] <= 2 * CONTEXT:
            groups[-1].append(block)
        else:
            groups.append([block])
    return [Hunk(tuple(group), tuple(_lines(old, new, group))) for group in groups]


def _lines(old: Sequence[bytes], new: Sequence[bytes], group: list[Block]) -> Iterator[Line]:
    at, shift = max(0, group[0][0] - CONTEXT), group[0][2] - group[0][0]
    for start, end, new_start, new_end in group:
        for number in range(at, start):
            yield Line(" ", old[number], number + 1, number + shift + 1)
        for number in range(start, end):
            yield Line("-", old[number], old=number + 1)
        for number in range(new_start, new_end):
            yield Line("+", new[number], new=number + 1)
        at, shift = end, new_end - end
    for number in range(at, min(len(old), at + CONTEXT)):
        yield Line(" ", old[number], number + 1, number + shift + 1)


def merged(old: Sequence[bytes], new: Sequence[bytes], chosen: Collection[Hunk]) -> bytes:
    """Return the old content with the chosen hunks applied."""
    parts: list[bytes] = []
    at = 0
    for start, end, new_start, new_end in sorted(block for hunk in chosen for block in hunk.blocks):
        parts += old[at:start]
        parts += new[new_start:new_end]
        at = end
    parts += old[at:]
    return b"".join(parts)


def trimmed(old: Sequence[bytes], new: Sequence[bytes]) -> Block:
    """Return the block between the first and the last difference. It is empty if there is none."""
    limit = min(len(old), len(new))
    first = next((index for index in range(limit) if old[index] != new[index]), limit)
    last = next((index for index in range(limit - first) if old[-1 - index] != new[-1 - index]), limit - first)
    return first, len(old) - last, first, len(new) - last
