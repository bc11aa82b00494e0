"""Conversion of the emulator's screen to rows, which are runs of styled text.

One call per row returns all its packed 64-bit cells. The whole row is then decoded as one big integer with one lane per
cell: a shift and a mask split all cells at once, at the speed of C, and a regular expression finds the runs. Only a
style that was not seen before needs calls of its own.
"""

import re
from collections.abc import Iterator
from typing import Any, ClassVar

from ccvm_tui.terminal.cells import DEFAULT_COLOUR, PLAIN, TRUE_COLOUR, Attribute, Row, Run, Style
from ccvm_tui.terminal.engine import VIEWPORT, CellLayout, Handle, check, ffi, grid_ref, lib, link_at

_CODEPOINT = (1 << CellLayout.CODEPOINT_WIDTH) - 1
_LINK_IN_KEY = 1 << (CellLayout.LINK - CellLayout.STYLE)
_KEY = 0xFFFF | _LINK_IN_KEY
_BACKGROUND_BITS = (1 << CellLayout.STYLE) - 1
_TAIL = "\U0010fffe"  # marks the second cell of a wide character; a noncharacter, which no program prints

_equal_characters = re.compile(r"(.)\1*", re.DOTALL).finditer
_equal_lanes = re.compile(rb"(.{8})\1*", re.DOTALL).finditer

# Characters whose width is the same in all terminals and libraries. Every other character gets a run of its own.
_CERTAIN = (
    "\x20-\x7e\xa0-\xac\xae-\u02ff\u0370-\u03ff\u0400-\u0482\u048a-\u052f\u2010-\u2027\u2030-\u205e"
    "\u20a0-\u20bf\u2100-\u2319\u231c-\u23e8\u2400-\u244a\u2460-\u25fc\u25ff-\u2613\u2800-\u28ff\u3000-\u303e"
    "\u3041-\u3096\u309b-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\ue000-\uf8ff\uff01-\uff60\uffe0-\uffe6\ufffd"
)
_uncertain = re.compile(f"[^{_CERTAIN}{_TAIL}]")
_narrow_in_two = re.compile(f"([\x20-\u02ff]){_TAIL}")
_control = re.compile("[\x00-\x1f\x7f-\x9f]")

STYLES_KEPT = 4096
"""Styles that a reader numbers before the numbering restarts."""


def has_certain_width(text: str) -> bool:
    """Return whether all terminals agree about the width of a text."""
    return text.isascii() or not _uncertain.search(text)


class _Lanes:
    """Masks for rows of one width: the same bits in every 64-bit lane."""

    _known: ClassVar[dict[int, "_Lanes"]] = {}

    def __init__(self, cols: int) -> None:
        self.nbytes = cols * 8
        self.ones = int.from_bytes(b"\1\0\0\0\0\0\0\0" * cols, "little")
        self.codepoint = self.ones * _CODEPOINT
        self.key = self.ones * _KEY
        self.styled = self.ones * (_KEY << CellLayout.STYLE)
        self.odd = self.ones * (3 << CellLayout.TAG | 3 << CellLayout.WIDE)
        self.seen = self.ones * (_BACKGROUND_BITS | _KEY << CellLayout.STYLE | 3 << CellLayout.WIDE)

    @classmethod
    def of(cls, cols: int) -> "_Lanes":
        lanes = cls._known.get(cols)
        if lanes is None:
            lanes = cls._known[cols] = cls(cols)
        return lanes


def _set_lanes(bits: int, nbytes: int) -> Iterator[int]:
    data = bits.to_bytes(nbytes, "little")
    at = data.find(1)
    while at >= 0:
        yield at >> 3
        at = data.find(1, at + 1)


class RowReader:
    """A render state of a terminal, and the rows read from it.

    Rows refer to styles by their index in ``styles``. The numbering restarts when there are more than ``STYLES_KEPT``
    styles; ``read`` then returns every row.
    """

    def __init__(self, terminal: Handle) -> None:
        self._terminal = terminal
        out = ffi.new("GhosttyRenderState*")
        check(lib.ghostty_render_state_new(ffi.NULL, out), "render_state_new")
        self.state = out[0]
        self._iterator = ffi.new("GhosttyRenderStateRowIterator*")
        check(lib.ghostty_render_state_row_iterator_new(ffi.NULL, self._iterator), "row_iterator_new")
        self._cells = ffi.new("GhosttyRenderStateRowCells*")
        check(lib.ghostty_render_state_row_cells_new(ffi.NULL, self._cells), "row_cells_new")
        self._y = ffi.new("uint16_t*")
        self._dirty = ffi.new("GhosttyRenderStateDirty*")
        self._view = ffi.new("GhosttyCellsView*")
        self._id = ffi.new("GhosttyRenderStateRowId*")
        self._raw = ffi.new("GhosttyRow*")
        self._wrap = ffi.new("bool*")
        self._keys = ffi.new(
            "GhosttyRenderStateRowData[4]",
            [
                lib.GHOSTTY_RENDER_STATE_ROW_DATA_CELLS_RAW,
                lib.GHOSTTY_RENDER_STATE_ROW_DATA_CELLS,
                lib.GHOSTTY_RENDER_STATE_ROW_DATA_ID,
                lib.GHOSTTY_RENDER_STATE_ROW_DATA_RAW,
            ],
        )
        self._values = ffi.new("void*[4]", [self._view, self._cells, self._id, self._raw])
        self._style = ffi.new("GhosttyStyle*")
        self._style.size = ffi.sizeof("GhosttyStyle")
        self._style_bytes = ffi.buffer(self._style)
        self._text = ffi.new("uint8_t[256]")
        self._text_out = ffi.new("GhosttyBuffer*")
        self.styles: list[Style] = [PLAIN]
        self._numbers: dict[Style, int] = {PLAIN: 0}
        self._by_bytes: dict[bytes, int] = {}
        # Style ids belong to a page of the library's memory, and are valid for one update only.
        self._pages: dict[int, dict[Any, int]] = {}
        self._system = VIEWPORT

    def free(self) -> None:
        """Free the native objects."""
        lib.ghostty_render_state_row_cells_free(self._cells[0])
        lib.ghostty_render_state_row_iterator_free(self._iterator[0])
        lib.ghostty_render_state_free(self.state)

    def read(self, everything: bool = False) -> tuple[bool, list[Row]]:
        """Return whether all rows are returned, and the rows that have changed since the last call.

        Raises EngineError if the library fails.
        """
        check(lib.ghostty_render_state_update(self.state, self._terminal), "render_state_update")
        lib.ghostty_render_state_get(self.state, lib.GHOSTTY_RENDER_STATE_DATA_DIRTY, self._dirty)
        if len(self.styles) > STYLES_KEPT:
            self._reset_styles()
            everything = True
        everything = everything or self._dirty[0] == lib.GHOSTTY_RENDER_STATE_DIRTY_FULL
        rows: list[Row] = []
        if everything or self._dirty[0]:
            lib.ghostty_render_state_get(self.state, lib.GHOSTTY_RENDER_STATE_DATA_ROW_ITERATOR, self._iterator)
            self._pages.clear()
            iterator = self._iterator[0]
            if everything:
                y = 0
                while lib.ghostty_render_state_row_iterator_next(iterator):
                    rows.append(self._row(y))
                    y += 1
            else:
                while lib.ghostty_render_state_row_iterator_next_dirty(iterator, self._y):
                    rows.append(self._row(self._y[0]))
            lib.ghostty_render_state_clean(self.state)
        return everything, rows

    def linked_cells(self) -> int:
        """Return the number of cells in the viewport that have a link."""
        check(lib.ghostty_render_state_update(self.state, self._terminal), "render_state_update")
        lib.ghostty_render_state_get(self.state, lib.GHOSTTY_RENDER_STATE_DATA_ROW_ITERATOR, self._iterator)
        iterator = self._iterator[0]
        count = 0
        while lib.ghostty_render_state_row_iterator_next(iterator):
            lib.ghostty_render_state_row_get_multi(iterator, 4, self._keys, self._values, ffi.NULL)
            cols = self._view.len
            cells = int.from_bytes(ffi.buffer(self._view.ptr, cols * 8), "little")
            count += (cells >> CellLayout.LINK & _Lanes.of(cols).ones).bit_count()
        return count

    def table(self, rows: list[Row]) -> dict[int, Style]:
        """Return the styles that these rows refer to, by number, and ``PLAIN`` as 0."""
        table = {number: self.styles[number] for number in {run.style for row in rows for run in row.runs}}
        table[0] = PLAIN
        return table

    def _reset_styles(self) -> None:
        self.styles = [PLAIN]
        self._numbers = {PLAIN: 0}
        self._by_bytes = {}

    def _row(self, y: int) -> Row:
        """Decode the iterator's current row."""
        iterator = self._iterator[0]
        lib.ghostty_render_state_row_get_multi(iterator, 4, self._keys, self._values, ffi.NULL)
        lib.ghostty_row_get(self._raw[0], lib.GHOSTTY_ROW_DATA_WRAP, self._wrap)
        wrapped = bool(self._wrap[0])
        cols = self._view.len
        cells = int.from_bytes(ffi.buffer(self._view.ptr, cols * 8), "little")
        used = ((cells & _Lanes.of(cols).seen).bit_length() + 63) >> 6
        if not used:
            return Row(y, [], wrapped)
        lanes = _Lanes.of(used)
        cells &= (1 << (used << 6)) - 1
        odd = cells & lanes.odd
        if odd:
            return Row(y, self._odd_runs(cells, lanes, y), wrapped)
        text = ((cells >> CellLayout.CONTENT) & lanes.codepoint).to_bytes(lanes.nbytes, "little")
        return Row(
            y,
            self._plain_runs(text.decode("utf-32-le")[::2].replace("\0", " "), cells, lanes, used, y),
            wrapped,
        )

    def _plain_runs(self, text: str, cells: int, lanes: _Lanes, used: int, y: int) -> list[Run]:
        """Return the runs of a row in which every character is one narrow cell."""
        uncertain = () if text.isascii() else tuple(match.start() for match in _uncertain.finditer(text))
        if not cells & lanes.styled and not uncertain:
            return [Run(text, used)]
        keys = self._keys_of(cells, lanes)
        if uncertain or cells & lanes.ones << CellLayout.LINK:
            return self._split_runs(list(text), list(keys), set(uncertain), y)
        known = self._known_styles()
        runs = []
        for match in _equal_characters(keys):
            start, end = match.span()
            key = keys[start]
            style = known.get(key)
            if style is None:
                style = known[key] = self._style_number(start)
            runs.append(Run(text[start:end], end - start, style))
        return runs

    def _odd_runs(self, cells: int, lanes: _Lanes, y: int) -> list[Run]:
        """Return the runs of a row with wide characters, clusters, or cells that have only a background."""
        ones = lanes.ones
        tag = cells >> CellLayout.TAG
        background = (tag >> 1) & ones
        clusters = tag & ones & ~background
        wide = cells >> CellLayout.WIDE
        tails = (wide >> 1) & ones & ~wide
        content = (cells >> CellLayout.CONTENT) & lanes.codepoint
        if background:
            content &= ~(background * _CODEPOINT)
        if tails:
            content = content & ~(tails * _CODEPOINT) | tails * ord(_TAIL)
        text = content.to_bytes(lanes.nbytes, "little").decode("utf-32-le")[::2].replace("\0", " ")
        clustered = set(_set_lanes(clusters, lanes.nbytes))
        if tails:
            # A narrow character has two cells if a charset replaced a wide one: pad it. Keycaps are wide clusters.
            text = _narrow_in_two.sub(lambda match: match[0] if match.start() in clustered else f"{match[1]} ", text)
        uncertain = set() if text.isascii() else {match.start() for match in _uncertain.finditer(text)}
        texts: list[str] = list(text)
        for x in clustered:
            texts[x] = self._cluster(x)
        uncertain |= clustered
        keys: list[Any] = list(self._keys_of(cells, lanes))
        for x in _set_lanes(background, lanes.nbytes):
            keys[x] = (cells >> (x << 6)) & _BACKGROUND_BITS
        return self._split_runs(texts, keys, uncertain, y)

    def _keys_of(self, cells: int, lanes: _Lanes) -> str:
        """Return style id and link bit of every cell as one character each."""
        keys = ((cells >> CellLayout.STYLE) & lanes.key).to_bytes(lanes.nbytes, "little")
        return keys.decode("utf-32-le", "surrogatepass")[::2]

    def _known_styles(self) -> dict[Any, int]:
        page = self._id.bits[0]
        known = self._pages.get(page)
        if known is None:
            known = self._pages[page] = {"\0": 0}
        return known

    def _split_runs(self, texts: list[str], keys: list[Any], uncertain: set[int], y: int) -> list[Run]:
        """Return runs cell by cell (slow): split by links as well as styles, with uncertain cells in separate runs."""
        known = self._known_styles()
        runs: list[Run] = []
        pending: list[str] = []
        width = 0
        style = 0
        alone = False
        reference = None
        for x, text in enumerate(texts):
            if text == _TAIL:
                width += 1
                continue
            key = keys[x]
            number = known.get(key)
            if number is None:
                number = self._background_number(key) if isinstance(key, int) else self._style_number(x)
                known[key] = number
            if isinstance(key, str) and ord(key) & _LINK_IN_KEY:
                if reference is None:
                    reference = grid_ref(self._terminal, self._system, 0, y)
                reference.x = x
                number = self._linked(number, link_at(reference))
            if pending and (number != style or alone or x in uncertain):
                runs.append(Run("".join(pending), width, style))
                pending, width = [], 0
            pending.append(_control.sub("\ufffd", text) if x in uncertain else text)
            width += 1
            style = number
            alone = x in uncertain
        if pending:
            runs.append(Run("".join(pending), width, style))
        return runs

    def _cluster(self, x: int) -> str:
        lib.ghostty_render_state_row_cells_select(self._cells[0], x)
        out = self._text_out
        out.ptr, out.cap, out.len = self._text, len(self._text), 0
        code = lib.GHOSTTY_RENDER_STATE_ROW_CELLS_DATA_GRAPHEMES_UTF8
        # A cluster can have millions of combining marks: return only the first.
        if lib.ghostty_render_state_row_cells_get(self._cells[0], code, out):
            full = ffi.new("uint8_t[]", out.len)
            out.ptr, out.cap = full, out.len
            if lib.ghostty_render_state_row_cells_get(self._cells[0], code, out):
                return "\ufffd"
        return bytes(ffi.buffer(out.ptr, min(out.len, 256))).decode("utf-8", "ignore")[:32] or "\ufffd"

    def _style_number(self, x: int) -> int:
        lib.ghostty_render_state_row_cells_select(self._cells[0], x)
        code = lib.GHOSTTY_RENDER_STATE_ROW_CELLS_DATA_STYLE
        lib.ghostty_render_state_row_cells_get(self._cells[0], code, self._style)
        data = bytes(self._style_bytes)
        number = self._by_bytes.get(data)
        if number is None:
            number = self._by_bytes[data] = self._number(style_of(self._style))
        return number

    def _background_number(self, bits: int) -> int:
        value = bits >> CellLayout.CONTENT
        if bits >> CellLayout.TAG & 3 == lib.GHOSTTY_CELL_CONTENT_BG_COLOR_PALETTE:
            return self._number(Style(background=value & 0xFF))
        red, green, blue = value & 0xFF, value >> 8 & 0xFF, value >> 16 & 0xFF
        return self._number(Style(background=TRUE_COLOUR | red << 16 | green << 8 | blue))

    def _linked(self, number: int, link: str) -> int:
        if not link:
            return number
        plain = self.styles[number]
        return self._number(
            Style(
                plain.foreground,
                plain.background,
                plain.underline_colour,
                plain.attributes,
                plain.underline,
                link,
            )
        )

    def _number(self, style: Style) -> int:
        number = self._numbers.get(style)
        if number is None:
            number = self._numbers[style] = len(self.styles)
            self.styles.append(style)
        return number


def _colour(colour: Any) -> int:
    if colour.tag == lib.GHOSTTY_STYLE_COLOR_NONE:
        return DEFAULT_COLOUR
    if colour.tag == lib.GHOSTTY_STYLE_COLOR_PALETTE:
        return int(colour.value.palette)
    rgb = colour.value.rgb
    return TRUE_COLOUR | int(rgb.r) << 16 | int(rgb.g) << 8 | int(rgb.b)


def style_of(style: Any) -> Style:
    """Convert a GhosttyStyle to a ``Style`` without a link."""
    attributes = (
        (Attribute.BOLD if style.bold else 0)
        | (Attribute.DIM if style.faint else 0)
        | (Attribute.ITALIC if style.italic else 0)
        | (Attribute.BLINK if style.blink else 0)
        | (Attribute.REVERSE if style.inverse else 0)
        | (Attribute.CONCEAL if style.invisible else 0)
        | (Attribute.STRIKE if style.strikethrough else 0)
        | (Attribute.OVERLINE if style.overline else 0)
    )
    return Style(
        _colour(style.fg_color),
        _colour(style.bg_color),
        _colour(style.underline_color),
        int(attributes),
        int(style.underline),
    )
