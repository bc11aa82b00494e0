"""The points of the pull request's checklist that a change touches, found by the paths of its files.

The table is ``checklist.toml``. ``check.yml`` writes the points to the summary of its run:

    git diff --name-only -z BASE HEAD | python3 -m tools.checklist touched
    python3 -m tools.checklist template        # the part of the pull-request template that is derived from the table
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

TABLE = Path(__file__).with_name("checklist.toml")
"""The table of the points."""


@dataclass(frozen=True)
class Point:
    """A point of the checklist, and the patterns of the paths that touch it."""

    name: str
    text: str
    paths: tuple[str, ...]

    def touched_by(self, paths: Iterable[str]) -> list[str]:
        """Return those of the paths that match one of the patterns."""
        patterns = [pattern(path) for path in self.paths]
        return [path for path in paths if any(item.fullmatch(path) for item in patterns)]


def points(table: str) -> list[Point]:
    """Return the points of a table in TOML. Raises ValueError if the table is not valid."""
    found = []
    for item in tomllib.loads(table).get("point", []):
        if item.keys() != {"name", "text", "paths"} or not item["paths"]:
            raise ValueError(f"a point has name, text and paths, and not {', '.join(item)}")
        found.append(Point(item["name"], item["text"], tuple(item["paths"])))
    if len({point.name for point in found}) != len(found):
        raise ValueError("two points have the same name")
    return found


def pattern(glob: str) -> re.Pattern[str]:
    """Return the expression for a pattern: ``*`` is a part of a name, a pattern that ends with ``/`` a directory."""
    expression = "".join("[^/]*" if part == "*" else re.escape(part) for part in re.split(r"(\*)", glob))
    return re.compile(expression + (".*" if glob.endswith("/") else ""), re.DOTALL)


def summary(table: Sequence[Point], paths: Sequence[str]) -> str:
    """Return the touched points and the files that touch them, in Markdown."""
    lines = ["## Points of the checklist that this change touches", ""]
    for point in table:
        files = point.touched_by(paths)
        if files:
            shown = ", ".join(f"`{re.sub(r'[^A-Za-z0-9._/+@-]', '?', path)}`" for path in sorted(files)[:5])
            rest = f" and {len(files) - 5} more" if len(files) > 5 else ""
            lines.append(f"- **{point.name}**: {point.text} ({shown}{rest})")
    if len(lines) == 2:
        lines.append("None.")
    return "\n".join(lines) + "\n"


def template(table: Sequence[Point]) -> str:
    """Return the checklist as the pull-request template contains it."""
    return "".join(f"- [ ] **{point.name}**: {point.text}\n  <!-- {' '.join(point.paths)} -->\n" for point in table)


def main() -> int:
    """Run the command line and return the exit status."""
    table = points(TABLE.read_text())
    match sys.argv[1:]:
        case ["touched"]:
            paths = sys.stdin.buffer.read().decode(errors="replace").split("\0")
            print(summary(table, [path for path in paths if path]), end="")
        case ["template"]:
            print(template(table), end="")
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
