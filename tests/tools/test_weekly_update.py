"""The text of the weekly pull request, and snapshots of Debian that are renewed."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.locks import Change, Follows, Locked
from tools.ranges import RangeChange
from tools.snapshots import MAXIMUM_AGE, pinned, renewed
from tools.weekly_update import Update, code, text

OLD = Locked(
    "github", "github:NixOS/nixpkgs", "a" * 40, "sha256-b2xk", date(2026, 8, 1), "https://github.com/NixOS/nixpkgs"
)
NEW = replace(OLD, revision="b" * 40, nar_hash="sha256-bmV3", modified=date(2026, 11, 20))
NOW = datetime(2026, 11, 27, 12, 30, tzinfo=UTC)
RECIPE = 'suite = "trixie"\nmirror = "https://snapshots.example.org/debian/20260901T000000Z/"  # pinned\n'


def test_the_text_lists_every_change() -> None:
    mirror = "https://snapshots.example.org/debian/20261126T000000Z/"
    _, snapshot = renewed("default.toml", RECIPE, NOW)
    assert snapshot
    update = Update(
        [
            Change("nixpkgs", OLD, NEW),
            Change("dots", None, Locked("path", "path:/srv", "", "sha256-cGF0aA==", None)),
            Change("home-manager/nixpkgs", OLD, Follows("nixpkgs")),
            Change("systems", Follows(""), None),
        ],
        [RangeChange("textual", "textual>=8,<9", "textual>=8,<10", "9.1.0")],
        [snapshot],
        ["other~=1.0"],
    )
    link = "https://github.com/NixOS/nixpkgs"
    a, b = "a" * 40, "b" * 40
    assert (
        text(update)
        == f"""\
## Inputs of the flake

| input | old | new | commits |
|---|---|---|---|
| `nixpkgs` | [`aaaaaaaaa`]({link}/commit/{a}) (2026-08-01) | [`bbbbbbbbb`]({link}/commit/{b}) (2026-11-20) | \
[compare]({link}/compare/{a}...{b}) |
| `dots` | – | `sha256-cGF0aA==` of `path:/srv` |  |
| `home-manager/nixpkgs` | [`aaaaaaaaa`]({link}/commit/{a}) (2026-08-01) | follows `nixpkgs` |  |
| `systems` | follows nothing | – |  |

## Debian snapshots

| recipe | suite | old | new |
|---|---|---|---|
| `default.toml` | `trixie` | 2026-09-01 | [2026-11-26]({mirror}) |

## Python ranges

The newest version was outside these ranges.

| package | newest | old | new |
|---|---|---|---|
| `textual` | `9.1.0` | `textual>=8,<9` | `textual>=8,<10` |

Not examined: `other~=1.0`.

The next weekly update replaces this branch, and commits that were added to it. Nothing merges it by itself.
"""
    )


def test_without_changes_there_is_no_text() -> None:
    assert text(Update(unknown=["other~=1.0"])) == ""


@given(st.text())
def test_foreign_text_cannot_leave_its_code_span(value: str) -> None:
    assert re.fullmatch(r"`[^`|\\\r\n]{1,80}`", code(value))


def test_an_old_snapshot_is_replaced_by_that_of_yesterday() -> None:
    changed, change = renewed("default.toml", RECIPE, NOW)
    assert changed == RECIPE.replace("20260901T000000Z", "20261126T000000Z")
    assert change
    assert (change.old, change.new) == (datetime(2026, 9, 1, tzinfo=UTC), datetime(2026, 11, 26, tzinfo=UTC))


@pytest.mark.parametrize("age", [timedelta(0), timedelta(days=7), MAXIMUM_AGE])
def test_a_recent_snapshot_is_kept(age: timedelta) -> None:
    recipe = RECIPE.replace("20260901T000000Z", f"{NOW - age:%Y%m%dT%H%M%SZ}")
    assert renewed("default.toml", recipe, NOW) == (recipe, None)


@pytest.mark.parametrize(
    "recipe",
    [
        'suite = "trixie"\n',
        'mirror = "https://deb.example.org/debian"\n',
        'mirror = "https://example.org/debian/20261301T000000Z/"\n',
        "mirror = 3\n",
        (Path(__file__).parents[2] / "ccvm_tui/image/default.toml").read_text(),
    ],
)
def test_a_recipe_that_is_not_pinned_is_left_alone(recipe: str) -> None:
    assert pinned(recipe) is None
    assert renewed("default.toml", recipe, NOW) == (recipe, None)


def test_a_mirror_that_is_written_differently_is_an_error() -> None:
    with pytest.raises(ValueError, match="does not contain the text"):
        renewed("default.toml", RECIPE.replace('"https', "'https").replace('Z/"', "Z/'"), NOW)
