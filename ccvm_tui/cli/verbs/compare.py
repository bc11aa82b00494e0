"""``ccvm-tui compare``: show two attempts of a project side by side.

The exit status is that of diff(1): 0 if their files are the same, 1 if not, and higher after an error.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import unicodedata
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ccvm_tui.review.comparing import Comparison, Row, Side

WIDTH_MIN = 60
"""The minimum width of lines in two columns."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("one", metavar="GUEST", help="an attempt")
    parser.add_argument("other", metavar="GUEST", help="another attempt of the same project")
    parser.add_argument("path", nargs="*", metavar="PATH", help="show the lines of these files and directories")
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--lines", action="store_true", help="show the lines of all files that differ")
    shown.add_argument("--json", action="store_true", help="print JSON, as documented in docs/commands.md")


def run(args: argparse.Namespace) -> int:
    """Print the comparison, and return 1 if the files differ."""
    from ccvm_tui.cli.trouble import errors_above_one

    with errors_above_one():
        return _run(args)


def _run(args: argparse.Namespace) -> int:
    import asyncio

    from ccvm_tui.cli import target
    from ccvm_tui.review import comparing

    comparison = asyncio.run(comparing.compare(target.guest(args.one), target.guest(args.other)))
    rows = [row for row in comparison.rows if _is_chosen(row, args.path)]
    if args.json:
        print(json.dumps(_as_json(comparison, rows), indent=2))
    elif args.path or args.lines:
        for row in rows:
            if not row.same:
                _print_lines(comparison, row)
    else:
        _print_table(comparison, rows)
    return 0 if all(row.same for row in rows) else 1


def _is_chosen(row: Row, paths: list[str]) -> bool:
    wanted = [path.rstrip("/") for path in paths]
    return not wanted or any(row.path == path or row.path.startswith(f"{path}/") or path == "." for path in wanted)


def _print_table(comparison: Comparison, rows: list[Row]) -> None:
    from ccvm_tui.cli.table import table

    lines = [["FILE", *(received.attempt.name for received in (comparison.one, comparison.other)), ""]]
    lines += [[row.path, _cell(row.one), _cell(row.other), "same" if row.same else ""] for row in rows]
    commits = (f"{count} commit{'' if count == 1 else 's'}" for count in comparison.ahead)
    changes = (received.state.uncommitted for received in (comparison.one, comparison.other))
    cells = [f"{text}, {count} uncommitted" if count else text for text, count in zip(commits, changes, strict=True)]
    lines.append([f"since {comparison.base[:10]}", *cells, ""])
    print(table(lines))


def _cell(side: Side | None) -> str:
    if side is None:
        return "-"
    return f"{side.letter} binary" if side.added < 0 else f"{side.letter} +{side.added} -{side.removed}"


def _print_lines(comparison: Comparison, row: Row) -> None:
    """Print a file in two columns."""
    from ccvm_tui.cli.colours import wants_colour
    from ccvm_tui.review import columns, difference
    from ccvm_tui.text import printable

    width = max(WIDTH_MIN, shutil.get_terminal_size((160, 24)).columns)
    half, colour = (width - 3) // 2, wants_colour(sys.stdout)
    names = [f"{received.attempt.name}: {row.path}" for received in (comparison.one, comparison.other)]
    print(f"{_fitted(printable(names[0]), half)} │ {printable(names[1])[:half]}".rstrip())
    texts = comparison.texts(row)
    if texts is None:
        print("binary or large files differ")
        return
    if texts[0] == texts[1]:
        print(f"modes differ: {row.keys[0][0]} │ {row.keys[1][0]}")
    for hunk in difference.compared(*texts):
        print(f"{'─' * half}─┼─{'─' * half}")
        for pair in columns.pairs(hunk):
            print(_columns(pair, half, colour=colour))
    print()


def _columns(pair: Any, half: int, *, colour: bool) -> str:
    left, right = (_text(line) for line in pair)
    same = pair[0] is pair[1]
    cells = [_fitted(left, half), _fitted(right, half).rstrip()]
    if colour and not same:
        cells = [f"\x1b[31m{cells[0]}\x1b[0m", f"\x1b[32m{cells[1]}\x1b[0m"]
    return f"{cells[0]} {'│' if same else '┃'} {cells[1]}".rstrip()


def _text(line: Any) -> str:
    from ccvm_tui.text import printable

    return "" if line is None else printable(line.text.rstrip(b"\n").decode("utf-8", "replace").expandtabs())


def _fitted(text: str, width: int) -> str:
    """Return text that takes ``width`` columns. Wide and combining characters are counted as terminals draw them."""
    shown, used = "", 0
    for character in text:
        used += _columns_of(character)
        if used > width:
            break
        shown += character
    return shown + " " * (width - sum(map(_columns_of, shown)))


def _columns_of(character: str) -> int:
    return 0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _as_json(comparison: Comparison, rows: list[Row]) -> dict[str, Any]:
    return {
        "project": comparison.one.project,
        "base": comparison.base,
        "attempts": list(_attempts(comparison)),
        "files": [
            {"path": row.path, "same": row.same, "one": _side(row.one), "other": _side(row.other)} for row in rows
        ],
    }


def _attempts(comparison: Comparison) -> Iterator[dict[str, Any]]:
    for received, ahead in zip((comparison.one, comparison.other), comparison.ahead, strict=True):
        state = received.state
        yield {
            "guest": received.guest, "attempt": received.attempt.name, "branch": state.branch, "head": state.head,
            "ahead": ahead, "uncommitted": state.uncommitted,
        }  # fmt: skip


def _side(side: Side | None) -> dict[str, Any] | None:
    return None if side is None else {"change": side.letter, "added": side.added, "removed": side.removed}
