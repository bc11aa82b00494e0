"""The weekly update: which dependencies to look up, and the changes and the text of its pull request.

The workflow ``flake-update.yml`` runs it in the root of the checkout:

    python3 -m tools.weekly_update names >NAMES      # the Python packages, for pip
    python3 -m tools.weekly_update apply --lock-before OLD --report REPORT --text TEXT

``apply`` changes pyproject.toml and the recipes, and writes a text that lists these changes and those of flake.lock.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tools import locks, ranges, snapshots

LOCK = Path("flake.lock")
PROJECT = Path("pyproject.toml")
RECIPES = Path("ccvm_tui/image")

_UNSAFE = re.compile(r"[^A-Za-z0-9._/:+@~=?&%,<>!*\[\] -]")


@dataclass(frozen=True)
class Update:
    """All changes of one update, and the requirements that could not be judged."""

    inputs: Sequence[locks.Change] = ()
    ranges: Sequence[ranges.RangeChange] = ()
    snapshots: Sequence[snapshots.SnapshotChange] = ()
    unknown: Sequence[str] = ()

    def __bool__(self) -> bool:
        return bool(self.inputs or self.ranges or self.snapshots)


def text(update: Update) -> str:
    """Return the text of the pull request, in Markdown. It is empty if nothing has changed."""
    if not update:
        return ""
    parts = []
    if update.inputs:
        parts += ["## Inputs of the flake", "", "| input | old | new | commits |", "|---|---|---|---|"]
        for change in update.inputs:
            commits = f"[compare]({change.comparison})" if change.comparison else ""
            parts.append(f"| {code(change.path)} | {_input(change.old)} | {_input(change.new)} | {commits} |")
        parts.append("")
    if update.snapshots:
        parts += ["## Debian snapshots", "", "| recipe | suite | old | new |", "|---|---|---|---|"]
        for snapshot in update.snapshots:
            new = f"[{snapshot.new:%Y-%m-%d}]({snapshot.mirror})" if _linkable(snapshot.mirror) else snapshot.new.date()
            parts.append(f"| {code(snapshot.recipe)} | {code(snapshot.suite)} | {snapshot.old:%Y-%m-%d} | {new} |")
        parts.append("")
    if update.ranges:
        parts += ["## Python ranges", "", "The newest version was outside these ranges.", ""]
        parts += ["| package | newest | old | new |", "|---|---|---|---|"]
        for item in update.ranges:
            parts.append(f"| {code(item.name)} | {code(item.newest)} | {code(item.old)} | {code(item.new)} |")
        parts.append("")
    if update.unknown:
        parts += [f"Not examined: {', '.join(code(item) for item in update.unknown)}.", ""]
    parts.append(
        "The next weekly update replaces this branch, and commits that were added to it. Nothing merges it by itself."
    )
    return "\n".join(parts) + "\n"


def code(value: str) -> str:
    """Return foreign text as a Markdown code span of at most 80 characters that cannot end its span or its cell."""
    return f"`{_UNSAFE.sub('?', value)[:80] or '?'}`"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    parser = argparse.ArgumentParser(prog="python3 -m tools.weekly_update")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("names", help="print the names of the Python dependencies")
    apply = commands.add_parser("apply", help="change the files and write the text of the pull request")
    apply.add_argument("--lock-before", type=Path, required=True, help="flake.lock before; it may be missing")
    apply.add_argument("--report", type=Path, required=True, help="the report of pip install --report")
    apply.add_argument("--text", type=Path, required=True, help="the file for the text")
    args = parser.parse_args(argv)
    try:
        if args.command == "names":
            print(*dict.fromkeys(ranges.name_of(item) for item in ranges.requirements(PROJECT.read_text())), sep="\n")
            return 0
        update = _apply(args.lock_before, args.report)
    except (locks.LockError, ranges.RangeError, ValueError, OSError) as error:
        print(f"weekly_update: {error}", file=sys.stderr)
        return 1
    args.text.write_text(text(update))
    print(text(update) or "Nothing has changed.")
    return 0


def _apply(lock_before: Path, report: Path) -> Update:
    before = _inputs(lock_before)
    inputs = locks.compare(before, _inputs(LOCK))
    project = PROJECT.read_text()
    changes, unknown = ranges.stale(project, ranges.parse_report(report.read_text()))
    renewals = []
    now = datetime.now(UTC)
    for path in sorted(RECIPES.glob("*.toml")):
        recipe = path.read_text()
        renewed, change = snapshots.renewed(path.name, recipe, now)
        if change:
            path.write_text(renewed)
            renewals.append(change)
    if changes:
        PROJECT.write_text(ranges.apply(project, changes))
    return Update(inputs, changes, renewals, unknown)


def _inputs(path: Path) -> dict[str, locks.Input]:
    if not path.exists():
        return {}
    try:
        return locks.parse(path.read_text())
    except locks.LockError as error:
        raise locks.LockError(f"{path}: {error}") from error


def _input(value: locks.Input | None) -> str:
    if value is None:
        return "–"
    if isinstance(value, locks.Follows):
        return f"follows {code(value.path)}" if value.path else "follows nothing"
    label = code(value.label)
    return (f"[{label}]({value.link})" if value.link else f"{label} of {code(value.source)}") + (
        f" ({value.modified})" if value.modified else ""
    )


def _linkable(address: str) -> bool:
    return re.fullmatch(r"https?://[A-Za-z0-9./:_-]+", address) is not None


if __name__ == "__main__":
    sys.exit(main())
