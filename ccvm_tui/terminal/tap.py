"""A filter in front of the emulator, for sequences that the emulator does not report or that can abort it.

The filter interprets some operating system commands (OSC) and one device control string (XTGETTCAP). All other output
passes unchanged. The result does not depend on how the output is cut into pieces, and never more than ``STRING_MAX``
bytes are held back.

Sources: ECMA-48; xterm's ctlseqs; the parser of libghostty-vt, which ends a string at any ESC, and skips control
characters between ESC and ``]`` and inside an OSC.
"""

import re
from collections.abc import Generator, Iterator
from enum import Enum, auto
from typing import Final

from ccvm_tui.terminal.callbacks import Outbox
from ccvm_tui.terminal.capabilities import answer_capabilities
from ccvm_tui.terminal.events import LinksDropped, PromptMark
from ccvm_tui.terminal.links import LinkLimit
from ccvm_tui.terminal.notices import NotificationParser

STRING_MAX: Final = 8192
"""Bytes of the longest string that is interpreted. Longer strings are dropped."""

LINK_MAX: Final = 4096
"""Bytes that one link may cover."""

MEASURE_AGAIN: Final = 16 * 1024
"""Bytes of output after which the linked cells are counted again, once links are being dropped."""

_SKIPPED: Final = rb"\x00-\x17\x19\x1c-\x1f\x7f"  # C0 without CAN, SUB and ESC; DEL
_junk: Final = bytes((*range(0x18), 0x19, 0x1C, 0x1D, 0x1E, 0x1F, 0x7F))
_start = re.compile(rb"\x1b[" + _SKIPPED + rb"]*([\]P])")
_strict_start = re.compile(rb"\x1b[" + _SKIPPED + rb"]*([\]PX^_])")
_unfinished = re.compile(rb"\x1b[" + _SKIPPED + rb"]*\Z")
_osc_end = re.compile(rb"[\x07\x18\x1a\x1b]")
_other_end = re.compile(rb"[\x18\x1a\x1b]")

# Escape sequences and their beginnings, which are recognized while a link is open.
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

_INTERPRETED: Final = frozenset((b"8", b"99", b"133"))
_STRICT_KEPT: Final = frozenset((b"0", b"2"))
_CLOSE: Final = b"\x1b]8;;\x1b\\"
_OSC: Final = ord("]")
_DCS: Final = ord("P")
_BEL: Final = 0x07
_CANCEL: Final = (0x18, 0x1A)


class _String(Enum):
    """The treatment of the current string."""

    UNDECIDED = auto()
    INTERPRETED = auto()
    PASSED = auto()
    DROPPED = auto()


class Tap:
    """A filter whose ``feed`` yields the output for the emulator, and adds replies and events to the outbox.

    ``strict`` is for a session that has crashed the emulator before: strings that the emulator can do without are
    dropped. ``linked`` is true if the emulator may be in the middle of a link already.
    """

    def __init__(self, outbox: Outbox, links: LinkLimit, *, strict: bool = False, linked: bool = False) -> None:
        self._outbox = outbox
        self._links = links
        self._strict = strict
        self._begin = _strict_start if strict else _start
        self._notifications = NotificationParser(outbox)
        self._out: list[bytes] = []
        self._held = b""  # the possible beginning of a string, or, inside a link, an incomplete sequence
        self._fed = 0
        self._state: _String | None = None
        self._string = bytearray()
        self._introduced = 0  # length of the string's introducer
        self._kind = 0  # the introducer's last byte
        self._start = 0  # offset of the string in all output
        self._open = linked
        self._covered = 0  # bytes that the open link has covered
        self._measured_at = -MEASURE_AGAIN  # offset in all output of the last measurement
        self._dropping = False
        self._reported = False
        self.links_seen = linked
        """True if the output so far may contain links."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Filter output of the program, and yield it in pieces.

        Feed each piece to the emulator before taking the next one, and take all of them: replies are queued in between,
        and links are counted on the emulator's screen.
        """
        self._fed += len(data)
        if self._held:
            data, self._held = self._held + data, b""
        elif self._state is None and not self._open and data.count(b"\x1b") == data.count(b"\x1b["):
            # Every ESC begins a CSI, so there are no strings.
            yield data
            return
        at = 0
        while at < len(data):
            at = yield from (self._text(data, at) if self._state is None else self._collect(data, at))
        yield from self._flush()

    @property
    def pending(self) -> bytes:
        """The output that is held back, which the emulator has not interpreted yet."""
        if self._state in (_String.UNDECIDED, _String.INTERPRETED):
            return bytes(self._string)
        if self._state is _String.DROPPED:
            # The rest of the string must not be taken for text. No terminal interprets this OSC number.
            return b"\x1b]99999;"
        return self._held

    def _flush(self) -> Iterator[bytes]:
        data = b"".join(self._out)
        self._out.clear()
        if data:
            yield data

    # --- text ------------------------------------------------------------------------------------------------------

    def _text(self, data: bytes, at: int) -> Generator[bytes, None, int]:
        """Pass on text up to the next string. Returns the offset after the string's introducer."""
        match = self._begin.search(data, at)
        if (
            match is not None
            and not self._open
            and not self._strict
            and (link := _simple_link.match(data, match.start()))
        ):
            return (yield from self._simple_link(data, at, link))
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
            self._release_held()
        if match is None:
            return len(data)
        self._state = _String.UNDECIDED
        self._string = bytearray(match.group())
        self._introduced = len(self._string)
        self._start = self._fed - len(data) + match.start()
        self._kind = match.group(1)[0]
        return match.end()

    def _simple_link(self, data: bytes, at: int, link: re.Match[bytes]) -> Generator[bytes, None, int]:
        """Handle a whole link around plain text in one step, because most links are like that."""
        self.links_seen = True
        start, end = link.span()
        if (yield from self._accepts_link(self._fed - len(data) + start)):
            self._out.append(data[at:end])
            self._links.printed(link.end(2) - link.start(2))
        else:
            # As for other links, drop only the opening sequence.
            rest = link.end(1) - (2 if data[link.end(1) - 1] != _BEL else 0)
            self._out += (data[at:start], data[rest:end])
        return end

    def _linked_text(self, text: bytes) -> None:
        """Pass on text inside a link, which has only whole sequences, but may end in the middle of a character."""
        # REP would print a linked character thousands of times.
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

    def _release_held(self) -> None:
        """Stop holding back a sequence that is longer than any legitimate one."""
        if self._open:
            self._close_link()
            self._out.append(self._held)
            self._held = b""
        else:
            self._held = b"\x1b"

    # --- strings ---------------------------------------------------------------------------------------------------

    def _collect(self, data: bytes, at: int) -> Generator[bytes, None, int]:
        """Continue the current string at ``at``. Returns the offset after the part that was consumed."""
        match = (_osc_end if self._kind == _OSC else _other_end).search(data, at)
        end = match.start() if match is not None else len(data)
        if self._state in (_String.UNDECIDED, _String.INTERPRETED):
            # Take one byte more than the limit, to detect strings that are too long.
            taken = data[at : min(end, at + STRING_MAX + 1 - len(self._string))]
            self._string += taken
            at += len(taken)
            if self._state is _String.UNDECIDED:
                self._state = self._decide(ended=match is not None)
                if self._state is _String.PASSED:
                    self._out.append(bytes(self._string))
            elif len(self._string) > STRING_MAX:
                self._state = _String.DROPPED
            if self._state is _String.DROPPED:
                # The string may have been meant to end or replace the open link.
                self._close_link()
        if self._state is _String.PASSED:
            self._out.append(data[at:end])
        if match is None:
            return len(data)
        return (yield from self._finish(data, end))

    def _decide(self, *, ended: bool) -> _String:
        """Return the treatment of the current string, as far as it follows from the string's beginning."""
        content = bytes(self._string[self._introduced :]).translate(None, _junk)
        if len(self._string) > STRING_MAX:
            return _String.DROPPED
        if self._kind == _OSC:
            number, found, _ = content.partition(b";")
            if number in _INTERPRETED and (found or ended):
                return _String.INTERPRETED
            if not (found or ended or len(number) > 4):
                return _String.UNDECIDED
            return _String.DROPPED if self._strict and number not in _STRICT_KEPT else _String.PASSED
        if self._kind == _DCS:
            if content.startswith(b"+q"):
                return _String.INTERPRETED
            if not ended and len(content) < 2:
                return _String.UNDECIDED
        return _String.DROPPED if self._strict else _String.PASSED

    def _finish(self, data: bytes, end: int) -> Generator[bytes, None, int]:
        """End the current string at ``end``, which is a BEL, an ESC (of ST or another sequence), or a CAN or SUB."""
        last = data[end]
        state, self._state = self._state, None
        terminator = b"" if last == 0x1B else data[end : end + 1]
        if state is _String.PASSED:
            self._out.append(terminator)
        elif state is _String.INTERPRETED:
            content = bytes(self._string[self._introduced :]).translate(None, _junk)
            yield from self._interpret(content, terminator, cancelled=last in _CANCEL)
        return end + len(terminator)

    def _interpret(self, content: bytes, terminator: bytes, *, cancelled: bool) -> Iterator[bytes]:
        """Interpret a complete string."""
        whole = bytes(self._string) + terminator
        if cancelled:
            self._out.append(whole)
        elif self._kind == _DCS:
            self._out.append(whole)
            yield from self._flush()
            self._outbox.answer(answer_capabilities(content[2:]))
        elif content.startswith(b"8;"):
            yield from self._link(content, whole)
        elif content.startswith(b"99;"):
            yield from self._flush()
            self._notifications.feed(content[3:])
        elif content.startswith(b"133;"):
            self._out.append(whole)
            yield from self._flush()
            if mark := _prompt_mark(content[4:]):
                self._outbox.add(mark)
        else:
            self._out.append(whole)

    def _link(self, content: bytes, whole: bytes) -> Iterator[bytes]:
        """Handle OSC 8 ; parameters ; address, which begins a link, or ends it if the address is empty."""
        _, _, address = (*content.split(b";", 2), b"", b"")[:3]
        if not address:
            self._open = False
            self._out.append(b"" if self._strict else whole)
            return
        self._close_link()
        self.links_seen = True
        if self._strict or not (yield from self._accepts_link(self._start)):
            return
        self._out.append(whole)
        self._open = True
        self._covered = 0

    def _accepts_link(self, offset: int) -> Generator[bytes, None, bool]:
        """Return whether the emulator can take another link. ``offset`` is the link's offset in all output."""
        if self._dropping:
            if offset - self._measured_at < MEASURE_AGAIN:
                return False
        elif not self._links.due:
            return True
        yield from self._flush()
        self._measured_at = offset
        self._dropping = not self._links.measure()
        if self._dropping and not self._reported:
            self._reported = True
            self._outbox.add(LinksDropped())
        return not self._dropping


def _cut(text: bytes, limit: int) -> int:
    """Return the first offset from ``limit`` on that is neither inside a sequence nor inside a character."""
    if len(text) <= limit:
        return len(text)
    cut = limit
    escape = text.rfind(b"\x1b", 0, limit)
    if escape >= 0 and (match := _sequence.match(text, escape)):
        cut = max(cut, match.end())
    while cut < len(text) and text[cut] & 0xC0 == 0x80:
        cut += 1
    return cut


def _prompt_mark(content: bytes) -> PromptMark | None:
    """Parse a mark of OSC 133 (FinalTerm): A, B, C or D, which may be followed by an exit status."""
    kind, *rest = content.split(b";")
    if kind not in (b"A", b"B", b"C", b"D"):
        return None
    status = None
    if kind == b"D" and rest and re.fullmatch(rb"-?[0-9]{1,9}", rest[0]):
        status = int(rest[0])
    return PromptMark(kind.decode(), status)
