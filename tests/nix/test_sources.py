"""The files of Nix are well-formed, laid out, and without unused names."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.nix.evaluation import SOURCES, STUB_SOURCES, EvaluationError, parse
from tests.nix.linter import lint


def test_all_files_are_well_formed() -> None:
    assert len(SOURCES) > 10
    for source in [*SOURCES, *STUB_SOURCES]:
        parse(source)


def test_a_malformed_file_is_reported(tmp_path: Path) -> None:
    source = tmp_path / "bad.nix"
    source.write_text("{ a = ; }")
    with pytest.raises(EvaluationError, match="syntax error"):
        parse(source)


def test_the_linter_finds_nothing() -> None:
    assert [problem for source in [*SOURCES, *STUB_SOURCES] for problem in lint(source)] == []


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("let a = 1; in 2\n", ["x.nix:1: a is not used"]),
        ("let a = 1; _b = 2; in a\n", []),
        ("let inherit (x) a b; in a\n", ["x.nix:1: b is not used"]),
        ("let a = 1; in { inherit a; }\n", []),
        ("let a.b = 1; in a.b\n", []),
        ("{ a, b ? 1 }: b\n", ["x.nix:1: a is not used"]),
        ("{ a, ... }@all: all\n", ["x.nix:1: a is not used"]),
        ("a: b: b\n", ["x.nix:1: a is not used"]),
        ('let a = 1; in "${toString a}"\n', []),
        ("{\ta = 1; }\n", ["x.nix:1: a tab"]),
        ("{ } \n", ["x.nix:1: white space at the end of the line"]),
        ("{ }", ["x.nix:1: the file must end with one newline"]),
        (f"[ {'1 ' * 60}]\n", ["x.nix:1: 123 characters"]),
    ],
)
def test_problems_are_found(tmp_path: Path, text: str, problems: list[str]) -> None:
    source = tmp_path / "x.nix"
    source.write_text(text)
    assert lint(source) == problems
