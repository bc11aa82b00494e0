"""Cells of a terminal screen, as sent from the screen process to the clients that draw them.

All structs are msgpack arrays (msgspec, ``array_like``), which makes frames cheap to encode and decode. This module
imports neither the emulator nor Textual, and does no I/O, because both ends of the connection use it.

Colours are plain integers: ``DEFAULT_COLOUR`` (-1), 0..255 for the palette, ``TRUE_COLOUR | rrggbb`` for the rest.
Palette colours are sent as indexes, because only the terminal that finally draws them knows its palette.
"""

import enum

import msgspec

DEFAULT_COLOUR = -1
TRUE_COLOUR = 0x1000000


class Attribute(enum.IntFlag):
    """Bits of ``Style.attributes``: the on/off renditions of SGR (ECMA-48 8.3.117)."""

    BOLD = 1
    DIM = 2
    ITALIC = 4
    BLINK = 8
    REVERSE = 16
    CONCEAL = 32
    STRIKE = 64
    OVERLINE = 128


class Underline(enum.IntEnum):
    """Values of ``Style.underline``: the sub-parameter of SGR 4."""

    NONE = 0
    SINGLE = 1
    DOUBLE = 2
    CURLY = 3
    DOTTED = 4
    DASHED = 5


class CursorShape(enum.IntEnum):
    """Values of ``Cursor.shape`` (DECSCUSR without blinking)."""

    BLOCK = 0
    UNDERLINE = 1
    BAR = 2
    HOLLOW = 3


class Mode(enum.IntFlag):
    """Bits of ``Modes.flags``: the modes that matter for drawing a screen or sending input to it."""

    APPLICATION_CURSOR = 1 << 0  # DECCKM, ?1
    APPLICATION_KEYPAD = 1 << 1  # DECNKM, ?66, ESC =
    BRACKETED_PASTE = 1 << 2  # ?2004
    FOCUS_EVENTS = 1 << 3  # ?1004
    ALTERNATE_SCREEN = 1 << 4  # ?1049, ?1047, ?47
    REVERSE_SCREEN = 1 << 5  # DECSCNM, ?5
    ALTERNATE_SCROLL = 1 << 6  # ?1007: the wheel sends arrow keys on the alternate screen
    BACKARROW_SENDS_BS = 1 << 7  # DECBKM, ?67
    ALT_SENDS_ESCAPE = 1 << 8  # ?1036
    NEWLINE = 1 << 10  # LNM, 20: Enter sends CR LF
    SYNCHRONIZED = 1 << 11  # ?2026, set in a frame only after the update's time limit has passed
    COLOUR_SCHEME_REPORTS = 1 << 12  # ?2031
    SIZE_REPORTS = 1 << 13  # ?2048


class Style(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The rendition of a cell. ``attributes`` are ``Attribute`` bits; ``link`` is the address of OSC 8, or empty."""

    foreground: int = DEFAULT_COLOUR
    background: int = DEFAULT_COLOUR
    underline_colour: int = DEFAULT_COLOUR
    attributes: int = 0
    underline: int = 0
    link: str = ""


PLAIN = Style()
"""The style of a cell with default colours and no attributes."""


class Run(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Adjacent cells of one style.

    ``width`` counts cells of the screen. A grapheme whose width terminals disagree about (joined emoji, combining
    marks, flags) is a run of its own, so that the client can cut or pad it to exactly ``width`` cells.
    ``style`` is a key of the style table in the message that carries the run.
    """

    text: str
    width: int
    style: int = 0


class Row(msgspec.Struct, frozen=True, array_like=True):
    """One line of a screen or its scrollback.

    ``y`` is the row on the screen, counted from 0, in a ``Frame``, and the absolute line number in ``Lines``. The runs
    start at column 0 and may end before the last column; the remaining cells are blank and have the default style.
    ``wrapped`` is true if the text continues in the next row without a line break.
    """

    y: int
    runs: list[Run]
    wrapped: bool = False


class Cursor(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Position (column and row, from 0) and appearance of the cursor."""

    x: int = 0
    y: int = 0
    visible: bool = True
    shape: int = CursorShape.BLOCK
    blink: bool = False


class Modes(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The modes that the program has set.

    ``flags`` are ``Mode`` bits. ``kitty`` are the progressive enhancement flags of the kitty keyboard protocol (0..31).
    ``mouse`` is the tracking mode (0, 9, 1000, 1002 or 1003), ``mouse_encoding`` is 0 (bytes), 1005, 1006, 1015 or
    1016. ``other_keys`` is the level of xterm's modifyOtherKeys (0, 1 or 2).
    """

    flags: int = 0
    kitty: int = 0
    mouse: int = 0
    mouse_encoding: int = 0
    other_keys: int = 0

    def has(self, mode: Mode) -> bool:
        """Return whether a mode is set."""
        return bool(self.flags & mode)


class Colours(msgspec.Struct, frozen=True, array_like=True):
    """Colours that the program has changed (OSC 4, 10, 11, 12); for the others, -1 or no entry in ``palette``."""

    foreground: int = DEFAULT_COLOUR
    background: int = DEFAULT_COLOUR
    cursor: int = DEFAULT_COLOUR
    palette: dict[int, int] = {}


class Frame(msgspec.Struct, array_like=True):
    """The changes on a session's screen since the previous frame of this view.

    A ``full`` frame carries every row and does not depend on earlier frames. Other frames carry the changed rows.
    ``styles`` holds the styles that the runs of this frame use, and is valid for this frame only; key 0 is always
    ``PLAIN``. Lines are numbered from the session's first line, and numbers are never reused. The screen's first row is
    line ``top``. The scrollback holds the ``history`` lines before it, so its oldest line is ``top - history``.
    """

    session: str
    seq: int
    cols: int
    rows: int
    full: bool
    lines: list[Row]
    styles: dict[int, Style]
    cursor: Cursor
    modes: Modes
    history: int
    top: int
    title: str
    colours: Colours = Colours()


class Lines(msgspec.Struct, array_like=True):
    """A range of lines by absolute number, in order, without the lines that do not exist."""

    first: int
    rows: list[Row]
    styles: dict[int, Style]
    history: int
    top: int
    cols: int


class Match(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A search result, in absolute lines and columns (cells); both ends are inclusive."""

    line: int
    column: int
    end_line: int
    end_column: int


_frame_encoder = msgspec.msgpack.Encoder()
_frame_decoder = msgspec.msgpack.Decoder(Frame)


def encode_frame(frame: Frame) -> bytes:
    """Encode a frame as msgpack."""
    return _frame_encoder.encode(frame)


def decode_frame(data: bytes) -> Frame:
    """Decode a frame. Raises msgspec.DecodeError if the bytes are not a frame."""
    return _frame_decoder.decode(data)


def row_text(row: Row) -> str:
    """Return the text of a row, without the blank cells after its last run."""
    return "".join(run.text for run in row.runs)
