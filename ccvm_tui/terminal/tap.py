"""A filter in front of the emulator: for what it does not report, and for what it does not survive.

It reads operating system commands (OSC) and one device control string (XTGETTCAP) and leaves everything else
alone. Output without them passes untouched. Whatever way the output is cut into pieces, the result is the same; no
more than `STRING_MAX` bytes are ever held back.

Sources: ECMA-48; xterm's ctlseqs; the parser of libghostty-vt, which any ESC brings out of a string, and which
skips control characters between ESC and `]` and inside an OSC.
"""

import re
from collections.abc import Callable
from enum import Enum, auto
from typing import Final

from ccvm_tui.terminal.callbacks import Outbox
from ccvm_tui.terminal.capabilities import answer_capabilities
from ccvm_tui.terminal.events import LinksDropped, PromptMark
from ccvm_tui.terminal.links import LinkLimit
from ccvm_tui.terminal.notices import NoticeBoard

STRING_MAX: Final = 8192
"""Longest string that is understood, in bytes. A longer one of ours is left out."""

LINK_MAX: Final = 4096
"""Bytes that one link may cover."""

LOOK_AGAIN: Final = 16 * 1024
"""Bytes of output after which links may be let in again."""

_SKIPPED: Final = rb"\x00-\x17\x19\x1c-\x1f\x7f"  # C0 without CAN, SUB and ESC; DEL
_junk: Final = bytes((*range(0x18), 0x19, 0x1C, 0x1D, 0x1E, 0x1F, 0x7F))
_start = re.compile(rb"\x1b[" + _SKIPPED + rb"]*([\]P])")
_strict_start = re.compile(rb"\x1b[" + _SKIPPED + rb"]*([\]PX^_])")
_unfinished = re.compile(rb"\x1b[" + _SKIPPED + rb"]*\Z")
_osc_end = re.compile(rb"[\x07\x18\x1a\x1b]")
_other_end = re.compile(rb"[\x18\x1a\x1b]")

# Whole sequences and beginnings of such, as they are told apart while a link is open.
_CSI: Final = rb"\x1b[" + _SKIPPED + rb"]*\[[^\x40-\x7e\x18\x1a\x1b]*"
_ESCAPE: Final = rb"\x1b[" + _SKIPPED + rb"]*(?:\[[^\x40-\x7e\x18\x1a\x1b]*|[\x20-\x2f" + _SKIPPED + rb"]*)"
_repeat = re.compile(_CSI + b"b")
_sequence = re.compile(_ESCAPE + rb"[^\x1b]?")
_sequence_unfinished = re.compile(_ESCAPE + rb"\Z")

_ST: Final = rb"(?:\x07|\x1b\\)"
_simple_link = re.compile(
    rb"(\x1b\]8;[\x20-\x3a\x3c-\x7e]{0,256};[\x20-\x7e]{1,2048}"
    + _ST
    + rb")([\x20-\x7e\x80-\xff]{0,1024})\x1b\]8;;"
    + _ST
)

_OURS: Final = frozenset((b"8", b"99", b"133"))
_STRICT_KEPT: Final = frozenset((b"0", b"2"))
_CLOSE: Final = b"\x1b]8;;\x1b\\"
_OSC: Final = ord("]")
_DCS: Final = ord("P")
_BEL: Final = 0x07
_CANCEL: Final = (0x18, 0x1A)


class _String(Enum):
    """What becomes of the string that has begun."""

    UNDECIDED = auto()
    OURS = auto()
    PASSING = auto()
    DROPPED = auto()


class Tap:
    """`feed` passes output on to `deliver`, and puts answers and events of its own into the outbox.

    `strict` is for a session that has killed its emulator before: strings that only decorate are taken out.
    `linked` says that the emulator may be in the middle of a link already.
    """

    def __init__(
        self,
        deliver: Callable[[bytes], None],
        outbox: Outbox,
        links: LinkLimit,
        *,
        strict: bool = False,
        linked: bool = False,
    ) -> None:
        self._deliver = deliver
        self._outbox = outbox
        self._links = links
        self._strict = strict
        self._begin = _strict_start if strict else _start
        self._notices = NoticeBoard(outbox)
        self._out: list[bytes] = []
        self._held = b""  # what may begin a string, or in a link is an unfinished sequence
        self._fed = 0
        self._state: _String | None = None
        self._string = bytearray()
        self._introduced = 0  # length of the string's introducer
        self._kind = 0  # the introducer's last byte
        self._where = 0  # its place in all the output
        self._open = linked
        self._covered = 0  # bytes that the open link has covered
        self._looked = -LOOK_AGAIN  # where in the output links were found too many, last
        self._dropping = False
        self._told = False
        self.links_seen = linked

    def feed(self, data: bytes) -> None:
        """Output of the program."""
        self._fed += len(data)
        if self._held:
            data, self._held = self._held + data, b""
        elif self._state is None and not self._open and data.count(b"\x1b") == data.count(b"\x1b["):
            # Every ESC begins a CSI: there are no strings here.
            self._deliver(data)
            return
        at = 0
        while at < len(data):
            at = self._text(data, at) if self._state is None else self._collect(data, at)
        self._flush()

    @property
    def pending(self) -> bytes:
        """What is held back: output that the emulator has not seen yet."""
        if self._state in (_String.UNDECIDED, _String.OURS):
            return bytes(self._string)
        if self._state is _String.DROPPED:
            # Its rest must not be taken for text by whoever reads on; this number means nothing to anybody.
            return b"\x1b]99999;"
        return self._held

    def _flush(self) -> None:
        data = b"".join(self._out)
        self._out.clear()
        if data:
            self._deliver(data)

    # --- text ------------------------------------------------------------------------------------------------------

    def _text(self, data: bytes, at: int) -> int:
        """Pass text on up to the next string; returns the place after its introducer."""
        match = self._begin.search(data, at)
        if (
            match is not None
            and not self._open
            and not self._strict
            and (link := _simple_link.match(data, match.start()))
        ):
            return self._simple_link(data, at, link)
        end = match.start() if match is not None else len(data)
        if match is None:
            unfinished = (_sequence_unfinished if self._open else _unfinished).search(data, at)
            if unfinished is not None:
                end = unfinished.start()
                self._held = data[end:]
        if self._open:
            self._linked_text(data[at:end])
        else:
            self._out.append(data[at:end])
        if len(self._held) > STRING_MAX:
            self._give_up_holding()
        if match is None:
            return len(data)
        self._state = _String.UNDECIDED
        self._string = bytearray(match.group())
        self._introduced = len(self._string)
        self._where = self._fed - len(data) + match.start()
        self._kind = match.group(1)[0]
        return match.end()

    def _simple_link(self, data: bytes, at: int, link: re.Match[bytes]) -> int:
        """A whole link around plain text, which is what most are: taken in one step."""
        self.links_seen = True
        start, end = link.span()
        if self._room(self._fed - len(data) + start):
            self._out.append(data[at:end])
            self._links.printed(link.end(2) - link.start(2))
        else:
            # As in the long way: the beginning is left out, and nothing else.
            rest = link.end(1) - (2 if data[link.end(1) - 1] != _BEL else 0)
            self._out += (data[at:start], data[rest:end])
        return end

    def _linked_text(self, text: bytes) -> None:
        """Text inside a link: whole sequences and characters, but for a character cut at its end."""
        # REP would print a linked character ten thousand times over.
        text = _repeat.sub(b"", text)
        cut = _cut(text, LINK_MAX - self._covered)
        self._links.printed(min(cut, len(text)))
        self._covered = min(LINK_MAX, self._covered + len(text))
        self._out.append(text[:cut])
        if cut < len(text):
            self._close_link()
            self._out.append(text[cut:])

    def _close_link(self) -> None:
        if self._open:
            self._out.append(_CLOSE)
            self._open = False

    def _give_up_holding(self) -> None:
        """Nobody writes such a sequence in good faith."""
        if self._open:
            self._close_link()
            self._out.append(self._held)
            self._held = b""
        else:
            self._held = b"\x1b"

    # --- strings ---------------------------------------------------------------------------------------------------

    def _collect(self, data: bytes, at: int) -> int:
        """Take the string on from `at`; returns the place after what was taken."""
        match = (_osc_end if self._kind == _OSC else _other_end).search(data, at)
        end = match.start() if match is not None else len(data)
        if self._state in (_String.UNDECIDED, _String.OURS):
            # One byte beyond the limit tells that it is too long.
            taken = data[at : min(end, at + STRING_MAX + 1 - len(self._string))]
            self._string += taken
            at += len(taken)
            if self._state is _String.UNDECIDED:
                self._state = self._decide(ended=match is not None)
                if self._state is _String.PASSING:
                    self._out.append(bytes(self._string))
            elif len(self._string) > STRING_MAX:
                self._state = _String.DROPPED
            if self._state is _String.DROPPED:
                # It may have been about a link: then this one does not go on.
                self._close_link()
        if self._state is _String.PASSING:
            self._out.append(data[at:end])
        if match is None:
            return len(data)
        return self._finish(data, end)

    def _decide(self, *, ended: bool) -> _String:
        """What to do with the string, as far as its beginning tells."""
        content = bytes(self._string[self._introduced :]).translate(None, _junk)
        if len(self._string) > STRING_MAX:
            return _String.DROPPED
        if self._kind == _OSC:
            number, found, _ = content.partition(b";")
            if number in _OURS and (found or ended):
                return _String.OURS
            if not (found or ended or len(number) > 4):
                return _String.UNDECIDED
            return _String.DROPPED if self._strict and number not in _STRICT_KEPT else _String.PASSING
        if self._kind == _DCS:
            if content.startswith(b"+q"):
                return _String.OURS
            if not ended and len(content) < 2:
                return _String.UNDECIDED
        return _String.DROPPED if self._strict else _String.PASSING

    def _finish(self, data: bytes, end: int) -> int:
        """The string ends at `end`: at BEL, at an ESC (of ST or of whatever comes next), or cancelled."""
        last = data[end]
        state, self._state = self._state, None
        terminator = b"" if last == 0x1B else data[end : end + 1]
        if state is _String.PASSING:
            self._out.append(terminator)
        elif state is _String.OURS:
            content = bytes(self._string[self._introduced :]).translate(None, _junk)
            self._understand(content, terminator, cancelled=last in _CANCEL)
        return end + len(terminator)

    def _understand(self, content: bytes, terminator: bytes, *, cancelled: bool) -> None:
        """A string of ours is complete."""
        whole = bytes(self._string) + terminator
        if cancelled:
            self._out.append(whole)
        elif self._kind == _DCS:
            self._out.append(whole)
            self._flush()
            self._outbox.answer(answer_capabilities(content[2:]))
        elif content.startswith(b"8;"):
            self._link(content, whole)
        elif content.startswith(b"99;"):
            self._flush()
            self._notices.take(content[3:])
        elif content.startswith(b"133;"):
            self._out.append(whole)
            self._flush()
            if mark := _prompt_mark(content[4:]):
                self._outbox.add(mark)
        else:
            self._out.append(whole)

    def _link(self, content: bytes, whole: bytes) -> None:
        """OSC 8 ; parameters ; address: begins a link, or ends it where the address is empty."""
        _, _, address = (*content.split(b";", 2), b"", b"")[:3]
        if not address:
            self._open = False
            self._out.append(b"" if self._strict else whole)
            return
        self._close_link()
        self.links_seen = True
        if self._strict or not self._room(self._where):
            return
        self._out.append(whole)
        self._open = True
        self._covered = 0

    def _room(self, where: int) -> bool:
        """Whether the emulator can take another link, at this place in all the output."""
        if self._dropping:
            if where - self._looked < LOOK_AGAIN:
                return False
        elif not self._links.due:
            return True
        self._flush()
        self._looked = where
        self._dropping = not self._links.measure()
        if self._dropping and not self._told:
            self._told = True
            self._outbox.add(LinksDropped())
        return not self._dropping


def _cut(text: bytes, room: int) -> int:
    """The first place at or after `room` that is neither in a sequence nor in a character."""
    if len(text) <= room:
        return len(text)
    cut = room
    escape = text.rfind(b"\x1b", 0, room)
    if escape >= 0 and (match := _sequence.match(text, escape)):
        cut = max(cut, match.end())
    while cut < len(text) and text[cut] & 0xC0 == 0x80:
        cut += 1
    return cut


def _prompt_mark(content: bytes) -> PromptMark | None:
    """A mark of OSC 133 (FinalTerm): A, B, C or D, the latter with an exit status behind it."""
    kind, *rest = content.split(b";")
    if kind not in (b"A", b"B", b"C", b"D"):
        return None
    status = None
    if kind == b"D" and rest and re.fullmatch(rb"-?[0-9]{1,9}", rest[0]):
        status = int(rest[0])
    return PromptMark(kind.decode(), status)
