"""Matching what people type against names: in order, not together; beginnings of words count more."""

from __future__ import annotations


def score(needle: str, text: str) -> int:
    """0 when ``needle`` is not in ``text`` letter by letter; otherwise higher is better. Case does not count."""
    wanted = needle.lower().replace(" ", "")
    if not wanted:
        return 1
    lowered = text.lower()
    if wanted in lowered:
        at = lowered.index(wanted)
        begins = at == 0 or not lowered[at - 1].isalnum()
        return 1000 + (200 if begins else 0) - min(at, 100) - min(len(text), 90)
    points, at, last = 0, 0, -2
    for char in wanted:
        found = lowered.find(char, at)
        if found < 0:
            return 0
        points += 12 if found == last + 1 else 3
        if found == 0 or not lowered[found - 1].isalnum():
            points += 10
        last, at = found, found + 1
    return max(1, points - min(len(text), 60) // 10)


def positions(needle: str, text: str) -> list[int]:
    """The characters of ``text`` that ``needle`` hits, to show them."""
    wanted, lowered = needle.lower().replace(" ", ""), text.lower()
    if wanted and wanted in lowered:
        start = lowered.index(wanted)
        return list(range(start, start + len(wanted)))
    out: list[int] = []
    at = 0
    for char in wanted:
        found = lowered.find(char, at)
        if found < 0:
            return []
        out.append(found)
        at = found + 1
    return out
