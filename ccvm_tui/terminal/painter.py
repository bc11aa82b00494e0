"""Conversion of rows to the VT bytes that draw them."""

from typing import Final

from ccvm_tui.terminal.cells import DEFAULT_COLOUR, PLAIN, TRUE_COLOUR, Attribute, Row, Run, Style, Underline
from ccvm_tui.terminal.engine import lib
from ccvm_tui.terminal.rows import has_certain_width

_SGR: Final = (
    (Attribute.BOLD, 1),
    (Attribute.DIM, 2),
    (Attribute.ITALIC, 3),
    (Attribute.BLINK, 5),
    (Attribute.REVERSE, 7),
    (Attribute.CONCEAL, 8),
    (Attribute.STRIKE, 9),
    (Attribute.OVERLINE, 53),
)


def _colour(value: int, plain: int, bright: int, extended: int) -> str:
    if value & TRUE_COLOUR:
        return f"{extended};2;{value >> 16 & 255};{value >> 8 & 255};{value & 255}"
    if value < 8:
        return str(plain + value)
    if value < 16:
        return str(bright + value - 8)
    return f"{extended};5;{value}"


def sgr(style: Style) -> str:
    """Return the sequence that sets this rendition, whatever the current one is (SGR, ECMA-48 8.3.117)."""
    parts = ["0"]
    parts += [str(code) for bit, code in _SGR if style.attributes & bit]
    if style.underline == Underline.SINGLE:
        parts.append("4")
    elif style.underline:
        parts.append(f"4:{style.underline}")
    if style.foreground != DEFAULT_COLOUR:
        parts.append(_colour(style.foreground, 30, 90, 38))
    if style.background != DEFAULT_COLOUR:
        parts.append(_colour(style.background, 40, 100, 48))
    if (value := style.underline_colour) != DEFAULT_COLOUR:
        rgb = f"2::{value >> 16 & 255}:{value >> 8 & 255}:{value & 255}"
        parts.append(f"58:{rgb}" if value & TRUE_COLOUR else f"58:5:{value}")
    return f"\x1b[{';'.join(parts)}m"


class Painter:
    """A buffer of VT bytes that tracks the current rendition, which is plain at the start.

    ``cols`` is the width of the terminal; ``wrapping`` is true if the terminal is in wrap mode (DECAWM).
    """

    def __init__(self, styles: dict[int, Style], cols: int, *, wrapping: bool = True) -> None:
        self._styles = styles
        self._cols = cols
        self._wrapping = wrapping
        self._out: list[str] = []
        self._style = PLAIN
        self._sgr: dict[int, str] = {}

    @staticmethod
    def width(character: str) -> int:
        """Return the number of cells that the emulator uses for a character: 0, 1 or 2."""
        return int(lib.ghostty_unicode_codepoint_width(ord(character)))

    def write(self, text: str) -> None:
        """Add text or sequences that do not change the rendition."""
        self._out.append(text)

    def take(self) -> bytes:
        """Reset the rendition and return the collected bytes."""
        self.use(0)
        return "".join(self._out).encode()

    def use(self, number: int) -> None:
        """Switch to the style of this number."""
        style = PLAIN if number == 0 else self._styles[number]
        if style is self._style:
            return
        if style.link != self._style.link:
            self._out.append(f"\x1b]8;;{style.link}\x1b\\")
        sequence = self._sgr.get(number)
        if sequence is None:
            sequence = self._sgr[number] = sgr(style)
        self._out.append(sequence)
        self._style = style

    def runs(self, runs: list[Run], column: int) -> int:
        """Draw runs from the cursor's column (from 0), and return the column after them.

        The terminal may disagree about the width of some characters, so the cursor is positioned after each of these.
        """
        for run in runs:
            self.use(run.style)
            column += run.width
            if column == self._cols and not self._wrapping and not run.text.isascii():
                # Without wrapping, a terminal adds combining marks in the last column to the previous character.
                self._out.append("\x1b[?7h")
                self._text(run)
                self._out.append("\x1b[?7l")
            else:
                self._text(run)
            if column < self._cols and has_uncertain_width(run):
                self._out.append(f"\x1b[{column + 1}G")
        return column

    def line(self, runs: list[Run]) -> None:
        """Draw runs from the first column one after another, with the widths that the terminal gives them.

        The terminal must be in wrap mode. Nothing is drawn beyond the end of the line.
        """
        self._out.append("\x1b[?7l")
        for run in runs:
            self.use(run.style)
            self._text(run)
        self._out.append("\x1b[?7h")

    def _text(self, run: Run) -> None:
        if run.text.isascii() or sum(map(self.width, run.text)) == run.width:
            self._out.append(run.text)
        else:
            # A grapheme cluster that was printed in mode 2027 must be drawn in that mode.
            self._out.append(f"\x1b[?2027h{run.text}\x1b[?2027l")


def has_uncertain_width(run: Run) -> bool:
    """Return whether another terminal may draw this run with another width."""
    return not has_certain_width(run.text) or sum(map(Painter.width, run.text)) != run.width


def crop(row: Row, left: int, width: int) -> list[Run]:
    """Return the runs of a row in ``width`` columns from ``left``. Halves of wide characters become blanks."""
    runs: list[Run] = []
    column = 0
    for run in row.runs:
        start, end = column, column + run.width
        column = end
        if end <= left or start >= left + width:
            continue
        if start >= left and end <= left + width:
            runs.append(run)
        else:
            runs.append(_cut(run, max(left - start, 0), min(end, left + width) - start))
    return runs


def _cut(run: Run, start: int, end: int) -> Run:
    """Return the cells ``start`` to ``end`` (exclusive) of a run."""
    if run.text.isascii():
        return Run(run.text[start:end], end - start, run.style)
    column = 0
    kept: list[str] = []
    for character in run.text:
        width = Painter.width(character)
        if column >= start and column + width <= end:
            kept.append(character)
        else:
            kept.append(" " * max(0, min(column + width, end) - max(column, start)))
        column += width
    text = "".join(kept)
    return Run(text, end - start, run.style)
