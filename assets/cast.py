"""Recordings of terminals in the format asciicast v2, which asciinema's programs play.

A recording is a text file: a JSON object with the size, then a JSON array for each piece of output.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

IDLE_LIMIT = 1.5
"""Seconds to which players shorten the time between two outputs, as the header demands (``idle_time_limit``)."""


@dataclass
class Cast:
    """A recording. ``events`` are pairs of the time, in seconds since the start, and the output."""

    columns: int
    rows: int
    events: list[tuple[float, str]] = field(default_factory=list)

    def dumps(self) -> str:
        """Return the content of the file."""
        header = {"version": 2, "width": self.columns, "height": self.rows, "idle_time_limit": IDLE_LIMIT}
        lines = [header, *([round(time, 3), "o", text] for time, text in self.events)]
        return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)

    @classmethod
    def loads(cls, content: str) -> Cast:
        """Read the content of a file. Raises ValueError if it has another version."""
        first, *rest = content.rstrip("\n").split("\n")
        header = json.loads(first)
        if header.get("version") != 2:
            raise ValueError("not a recording in the format asciicast v2")
        events = [json.loads(line) for line in rest]
        return cls(header["width"], header["height"], [(time, text) for time, kind, text in events if kind == "o"])

    def shortened(self) -> list[tuple[float, str]]:
        """Return the events with at most ``IDLE_LIMIT`` seconds between two of them."""
        shifted, now, before = [], 0.0, 0.0
        for time, text in self.events:
            now += min(time - before, IDLE_LIMIT)
            before = time
            shifted.append((now, text))
        return shifted
