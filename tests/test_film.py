"""Recordings and the animated pictures of them."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from assets.cast import IDLE_LIMIT, Cast
from assets.film import LAST, animation

ASSETS = Path(__file__).parents[1] / "assets"
SVG = "{http://www.w3.org/2000/svg}"


def texts(picture: str) -> list[list[str]]:
    """Return the texts of each row that is defined, in the order of their first appearance."""
    defined = ET.fromstring(picture).find(f"{SVG}defs")
    assert defined is not None
    return [[text.text or "" for text in row.iter(f"{SVG}text")] for row in defined]


def test_a_recording_is_read_as_it_was_written() -> None:
    cast = Cast(80, 24, [(0.0, "a\x1b[1mé\r\n"), (1.25, "\u2028✋")])
    assert Cast.loads(cast.dumps()) == cast


def test_another_version_is_refused() -> None:
    with pytest.raises(ValueError, match="asciicast v2"):
        Cast.loads('{"version": 3, "term": {"cols": 80, "rows": 24}}\n')


def test_pauses_are_shortened() -> None:
    cast = Cast(80, 24, [(0.5, "a"), (100.0, "b"), (100.2, "c")])
    assert [time for time, _ in cast.shortened()] == pytest.approx([0.5, 0.5 + IDLE_LIMIT, 0.7 + IDLE_LIMIT])


def test_screens_are_shown_one_after_the_other_and_equal_rows_are_defined_once() -> None:
    picture = animation(Cast(10, 3, [(0.0, "one\r\n"), (1.0, "two\r\n"), (1.5, "")]))
    assert texts(picture) == [["one"], ["two"]]
    assert [float(percent) for percent in re.findall(r"([\d.]+)%\{transform", picture)] == [
        0.0,
        pytest.approx(100 / (1 + LAST)),
    ]
    uses = re.findall(r'<use href="#(\w+)" y="(\d+)"/>', picture)
    assert uses == [("r0", "0"), ("r0", "54"), ("r1", "72")]


def test_output_within_a_moment_is_one_screen_and_a_synchronized_update_is_not_divided() -> None:
    assert texts(animation(Cast(10, 1, [(0.0, "a"), (0.01, "b"), (0.02, "c")]))) == [["abc"]]
    update = [(0.0, "\x1b[?2026ha"), (1.0, "b\x1b[?2026l"), (2.0, "")]
    assert texts(animation(Cast(10, 1, update))) == [["ab"]]


def test_colors_and_marks_of_cells_are_drawn() -> None:
    picture = animation(Cast(40, 1, [(0.0, "\x1b[1;38;2;1;2;3mA\x1b[0;7m<&>\x1b[0;38;5;244mg\x1b[0;4;38;5;196mu")]))
    assert texts(picture) == [["A", "<&>", "g", "u"]]
    assert re.search(r'fill="#010203" font-weight="bold">A<', picture)
    assert re.search(r'<rect x="8.4" width="25.2" height="18" fill="#d4d7dd"/>', picture)
    assert re.search(r'fill="#808080">g<', picture)
    assert re.search(r'fill="#ff0000" text-decoration="underline">u<', picture)


def test_the_demo_is_the_picture_of_its_recording() -> None:
    cast = Cast.loads((ASSETS / "demo.cast").read_text(encoding="utf-8"))
    assert (ASSETS / "demo.svg").read_text(encoding="utf-8") == animation(cast), "`./dev shots` makes both"


@pytest.mark.parametrize("path", sorted(ASSETS.glob("*.svg")), ids=lambda path: path.name)
def test_pictures_load_nothing_from_other_hosts(path: Path) -> None:
    assert not re.search(r"url\(\W?http|@import|href=\W?http", path.read_text(encoding="utf-8"))
