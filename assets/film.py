"""Animated SVG pictures of recordings: ``python -m assets.film RECORDING PICTURE``.

The screens of the recording are drawn below each other, and an animation without script moves one after the other into
view. Rows that appear in several screens are defined once. A program that shows no animations shows the last of the
screens that fill most of the terminal.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from assets.cast import Cast
from ccvm_tui.guest import TermSize
from ccvm_tui.terminal.cells import DEFAULT_COLOUR, TRUE_COLOUR, Attribute, Cursor, Run, Style, Underline
from ccvm_tui.terminal.emulator import Emulator

FRAME = 0.12
"""Seconds for which a screen is shown at least. Output within this time is drawn together."""

LAST = 3.0
"""Seconds for which the last screen is shown."""

_WIDTH, _HEIGHT, _FONT, _BORDER = 8.4, 18, 14, 14
_FAMILY = "ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace"
_INK, _PAPER = "#d4d7dd", "#16181d"
_PALETTE = (
    "#2b2f38", "#e06c75", "#98c379", "#e5c07b", "#61afef", "#c678dd", "#56b6c2", "#c8ccd4",
    "#5c6370", "#ef7f88", "#aad58c", "#f2d08c", "#7fc1ff", "#d792ea", "#6fcbd8", "#ffffff",
)  # fmt: skip
_CUBE = (0, 95, 135, 175, 215, 255)


@dataclass(frozen=True)
class Screen:
    """One screen: the seconds for which it is shown, the markup of its rows, and the cursor."""

    seconds: float
    rows: tuple[str, ...]
    cursor: Cursor

    @property
    def filled(self) -> int:
        """The number of rows that are not blank."""
        return sum(bool(row) for row in self.rows)


def animation(cast: Cast) -> str:
    """Return the picture of a recording."""
    screens = list(_screens(cast))
    rows = dict.fromkeys(row for screen in screens for row in screen.rows if row)
    names = {row: f"r{number}" for number, row in enumerate(rows)}
    width, height = cast.columns * _WIDTH, cast.rows * _HEIGHT
    outer_width, outer_height = width + 2 * _BORDER, height + 2 * _BORDER
    total = sum(screen.seconds for screen in screens)
    steps, now = [], 0.0
    for number, screen in enumerate(screens):
        steps.append(f"{now / total:.4%}{{transform:translateY(-{number * height}px)}}")
        now += screen.seconds
    still = max(range(len(screens)), key=lambda number: (screens[number].filled * 10 // cast.rows, number))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" xml:space="preserve" viewBox="0 0 {outer_width:g} {outer_height}">',
        "<style>",
        f"text{{font:{_FONT}px {_FAMILY};white-space:pre}}",
        f"#film{{transform:translateY(-{still * height}px);animation:film {total:.2f}s steps(1,end) infinite}}",
        f"@keyframes film{{{''.join(steps)}}}",
        "@media(prefers-reduced-motion:reduce){#film{animation:none}}",
        "</style>",
        f'<rect width="100%" height="100%" rx="8" fill="{_PAPER}"/>',
        "<defs>",
        *(f'<g id="{names[row]}">{row}</g>' for row in rows),
        "</defs>",
        f'<svg x="{_BORDER}" y="{_BORDER}" width="{width:g}" height="{height}"><g id="film" fill="{_INK}">',
    ]
    for number, screen in enumerate(screens):
        top = number * height
        if screen.cursor.visible:
            x, y = screen.cursor.x * _WIDTH, top + screen.cursor.y * _HEIGHT
            parts.append(f'<rect x="{x:g}" y="{y}" width="{_WIDTH}" height="{_HEIGHT}" fill="#8a919e"/>')
        parts += [f'<use href="#{names[row]}" y="{top + y * _HEIGHT}"/>' for y, row in enumerate(screen.rows) if row]
    return "\n".join([*parts, "</g></svg>", "</svg>", ""])


def _screens(cast: Cast) -> Iterator[Screen]:
    """Yield the different screens of a recording."""
    emulator = Emulator(TermSize(cast.columns, cast.rows))
    shown: Screen | None = None
    began, due = 0.0, FRAME
    events = cast.shortened()
    for number, (time, text) in enumerate(events):
        emulator.feed(text.encode())
        following = events[number + 1][0] if number + 1 < len(events) else time + LAST
        if following < due or emulator.in_update:
            continue
        due = time + FRAME
        screen = _screen(emulator)
        if shown is None or (screen.rows, screen.cursor) != (shown.rows, shown.cursor):
            if shown is not None and time > began:
                yield Screen(time - began, shown.rows, shown.cursor)
            shown, began = screen, time
    emulator.close()
    if shown is not None:
        yield Screen(LAST, shown.rows, shown.cursor)


def _screen(emulator: Emulator) -> Screen:
    emulator.refresh(everything=True)
    frame = emulator.frame("", 0, None)
    rows = [""] * frame.rows
    for row in frame.lines:
        rows[row.y] = "".join(_row(row.runs, frame.styles))
    return Screen(0.0, tuple(rows), frame.cursor)


def _row(runs: list[Run], styles: dict[int, Style]) -> Iterator[str]:
    column = 0
    for run in runs:
        style = styles[run.style]
        ink, paper = _colour(style.foreground, _INK), _colour(style.background, _PAPER)
        if style.attributes & Attribute.REVERSE:
            ink, paper = paper, ink
        x, width = round(column * _WIDTH, 1), round(run.width * _WIDTH, 1)
        if paper != _PAPER:
            yield f'<rect x="{x}" width="{width}" height="{_HEIGHT}" fill="{paper}"/>'
        if run.text.strip():
            marks = "".join(_marks(style, ink))
            yield f'<text x="{x}" y="{_HEIGHT - 5}" textLength="{width}"{marks}>{escape(run.text)}</text>'
        column += run.width


def _marks(style: Style, ink: str) -> Iterator[str]:
    if ink != _INK:
        yield f' fill="{ink}"'
    if style.attributes & Attribute.BOLD:
        yield ' font-weight="bold"'
    if style.attributes & Attribute.ITALIC:
        yield ' font-style="italic"'
    if style.attributes & Attribute.DIM:
        yield ' opacity="0.6"'
    if style.underline != Underline.NONE:
        yield ' text-decoration="underline"'


def _colour(colour: int, default: str) -> str:
    if colour == DEFAULT_COLOUR:
        return default
    if colour & TRUE_COLOUR:
        return f"#{colour & 0xFFFFFF:06x}"
    if colour < 16:
        return _PALETTE[colour]
    if colour < 232:
        red, green, blue = (_CUBE[(colour - 16) // part % 6] for part in (36, 6, 1))
        return f"#{red:02x}{green:02x}{blue:02x}"
    return "#" + f"{8 + 10 * (colour - 232):02x}" * 3


def main() -> int:
    """Draw the recording in the first argument, and write the picture to the second."""
    source, target = map(Path, sys.argv[1:3])
    target.write_text(animation(Cast.loads(source.read_text(encoding="utf-8"))), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
