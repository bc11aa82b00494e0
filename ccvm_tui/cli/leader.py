r"""The leader key in a stream of keyboard bytes: a pure state machine, no clock and no I/O.

Everything passes untouched except the leader and the one key after it. The machine never holds back a
complete key: it holds only the beginning of a control sequence (``ESC [`` and more), whose rest is on its way
or, after a pause that the caller measures, is declared lost by ``idle``. A lone ESC passes at once.

The leader arrives in one of three spellings, depending on what the program in the guest asked of the outer
terminal: a control character; ``CSI code ; modifiers : event u`` (kitty keyboard protocol); or
``CSI 27 ; modifiers ; code ~`` (xterm's modifyOtherKeys). In a bracketed paste nothing is a key.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

PAUSE = 0.025
"""Seconds without input after which the caller calls ``idle``, while ``waiting`` says so."""

_CSI = re.compile(rb"\x1b\[[0-?]{0,64}[ -/]{0,4}[@-~]")
_CSI_BEGINS = re.compile(rb"\x1b(\[[0-?]{0,64}[ -/]{0,4})?\Z")
_SS3 = re.compile(rb"\x1bO[ -~]")
_STRING = re.compile(rb"\x1b[]P_^X][^\x07\x1b]{0,65536}(\x07|\x1b\\)")
_STRING_BEGINS = re.compile(rb"\x1b[]P_^X][^\x07\x1b]{0,65536}\x1b?\Z")
_KEY_FINALS = frozenset(b"ABCDEFHPQSZ~u")
"""Not R: with numbers it reports the cursor's position, which programs wait for."""

_PASTE_BEGINS = b"\x1b[200~"
_PASTE_ENDS = b"\x1b[201~"

_KITTY = re.compile(rb"\x1b\[(\d+)(?::(\d*))?(?::(\d*))?(?:;(\d*)(?::(\d))?)?(?:;(\d+)[\d:]*)?u")
_MODIFY_OTHER = re.compile(rb"\x1b\[27;(\d+);(\d+)~")
_LOCKS = 64 | 128
_SHIFT, _ALT, _CTRL = 1, 2, 4
_RELEASED = b"3"
_REPEATED = b"2"
_MODIFIER_KEYS = range(57358, 57455)
"""Lock keys, keypad media keys and modifiers themselves, in the kitty protocol's private use area."""

_NAMES = {9: "tab", 13: "enter", 27: "esc", 32: "space", 127: "backspace"}


@dataclass(frozen=True, slots=True)
class Command:
    """The user pressed the leader and then a key that is bound to ``name``."""

    name: str


Action = bytes | Command
"""Bytes for the guest, or something for us to do."""


@dataclass(frozen=True, slots=True)
class _Key:
    name: str
    event: bytes = b"1"


class Leader:
    """``key`` is spelled "ctrl-x"; ``bindings`` maps the name of the second key to that of a command."""

    def __init__(self, key: str, bindings: Mapping[str, str]) -> None:
        self._key = key
        character = key.removeprefix("ctrl-")
        self._byte = bytes([0x20 & 0x1F if character == "space" else ord(character.upper()) & 0x1F])
        self._bindings = dict(bindings)
        self._interesting = re.compile(b"[\x1b" + re.escape(self._byte) + b"]")
        self._kept = b""
        self._passed = 0
        self._armed = False
        self._pasting = False
        self._paused = False

    @property
    def armed(self) -> bool:
        """Whether the leader was pressed and its second key has not come yet."""
        return self._armed

    @property
    def waiting(self) -> bool:
        """Whether ``idle`` is wanted if no more input comes within PAUSE."""
        return not self._paused and (self._pasting or bool(self._kept))

    def feed(self, data: bytes) -> list[Action]:
        """What to do with ``data``, in order."""
        if self._pasting and self._paused and data == self._byte:
            self._pasting = False  # the end of the paste got lost: do not lock the user out for ever
        self._paused = False
        text, passed = self._kept + data, self._passed
        self._kept, self._passed = b"", 0
        out: list[Action] = []
        at = 0
        while at < len(text):
            step = self._paste if self._pasting else self._second if self._armed else self._ground
            at = step(text, at, passed, out)
            passed = 0
        return _joined(out)

    def idle(self) -> list[Action]:
        """No input came for PAUSE: what is still held is no sequence after all."""
        if self._pasting:
            self._paused = True
            return []
        kept, passed = self._kept, self._passed
        self._kept, self._passed = b"", 0
        if self._armed:
            self._armed = kept != b"\x1b"  # Esc takes the leader back
            return []
        return _joined([kept[passed:]])

    def _ground(self, text: bytes, at: int, passed: int, out: list[Action]) -> int:
        found = self._interesting.search(text, at)
        if found is None:
            out.append(text[at:])
            return len(text)
        out.append(text[at : found.start()])
        at = found.start()
        if text[at : at + 1] == self._byte:
            self._armed = True
            return at + 1
        if sequence := _CSI.match(text, at):
            key = _key(sequence[0])
            if sequence[0] == _PASTE_BEGINS:
                self._pasting = True
            if key is None or key.name != self._key:
                out.append(sequence[0][passed:])
            elif key.event != _RELEASED:
                self._armed = True
            return sequence.end()
        if _CSI_BEGINS.match(text, at):
            self._kept = text[at:]
            if len(self._kept) == 1:
                out.append(self._kept[passed:])
            self._passed = 1 if len(self._kept) == 1 else passed
            return len(text)
        out.append(text[at + passed : at + 1])
        return at + 1

    def _paste(self, text: bytes, at: int, passed: int, out: list[Action]) -> int:
        end = text.find(_PASTE_ENDS, at)
        if end >= 0:
            end += len(_PASTE_ENDS)
            out.append(text[at + passed : end])
            self._pasting = False
            return end
        out.append(text[at + passed :])
        for length in range(min(len(_PASTE_ENDS) - 1, len(text) - at), 0, -1):
            if text.endswith(_PASTE_ENDS[:length]):
                self._kept, self._passed = text[-length:], length
                break
        return len(text)

    def _second(self, text: bytes, at: int, passed: int, out: list[Action]) -> int:
        """One step after the leader: a key, or something that only looks like input and is passed on."""
        del passed  # nothing is let through early here
        if text[at] == 0x1B:
            return self._second_escape(text, at, out)
        length = _utf8_length(text[at])
        if at + length > len(text):
            self._kept = text[at:]
            return len(text)
        spelled = text[at : at + length]
        name = self._key if spelled == self._byte else _control_name(text[at]) if length == 1 else ""
        self._act(_Key(name), spelled, out)
        return at + length

    def _second_escape(self, text: bytes, at: int, out: list[Action]) -> int:
        if sequence := _CSI.match(text, at):
            whole = sequence[0]
            if whole == _PASTE_BEGINS:
                self._armed, self._pasting = False, True
                out.append(whole)
            elif key := _key(whole):
                self._act(key, whole, out)
            elif whole[-1] in _KEY_FINALS and whole[2:3] not in (b"?", b"<", b">"):
                self._armed = False
            else:
                out.append(whole)  # a mouse report, a change of focus, an answer to the guest's question
            return sequence.end()
        if answer := _STRING.match(text, at):
            out.append(answer[0])
            return answer.end()
        if _CSI_BEGINS.match(text, at) or text[at:] == b"\x1bO" or _STRING_BEGINS.match(text, at):
            self._kept = text[at:]
            return len(text)
        self._armed = False
        if arrow := _SS3.match(text, at):
            return arrow.end()
        return at + 2

    def _act(self, key: _Key, spelled: bytes, out: list[Action]) -> None:
        if key.event == _RELEASED or (key.event == _REPEATED and key.name == self._key):
            return
        if key.name == "modifier":
            return
        self._armed = False
        if key.name == self._key:
            out.append(spelled)
        elif command := self._bindings.get(key.name):
            out.append(Command(command))


def _key(sequence: bytes) -> _Key | None:
    """The key that a sequence of the kitty protocol or of modifyOtherKeys names; None for any other sequence."""
    if kitty := _KITTY.fullmatch(sequence):
        code, shifted, modifiers, event, text = (kitty[group] for group in (1, 2, 4, 5, 6))
        if int(code) in _MODIFIER_KEYS:
            return _Key("modifier", event or b"1")
        held = (int(modifiers or 1) - 1) & ~_LOCKS
        if held == _SHIFT and (text or shifted):
            return _Key(_named(int(text or shifted), 0), event or b"1")
        return _Key(_named(int(code), held), event or b"1")
    if other := _MODIFY_OTHER.fullmatch(sequence):
        return _Key(_named(int(other[2]), (int(other[1]) - 1) & ~_LOCKS))
    return None


def _named(code: int, held: int) -> str:
    """How the configuration spells a key. Shift is part of a character, not of its name."""
    if not 0 <= code < 0x110000:
        return ""
    name = _NAMES.get(code, chr(code))
    if held & ~(_SHIFT | _ALT | _CTRL):
        return ""
    return ("ctrl-" if held & _CTRL else "") + ("alt-" if held & _ALT else "") + name


def _control_name(byte: int) -> str:
    if byte in _NAMES:
        return _NAMES[byte]
    if byte == 0:
        return "ctrl-space"
    return f"ctrl-{chr(byte | 0x40).lower()}" if byte < 0x20 else chr(byte)


def _utf8_length(first: int) -> int:
    return 1 if first < 0xC0 else 2 if first < 0xE0 else 3 if first < 0xF0 else 4


def _joined(actions: list[Action]) -> list[Action]:
    """Neighbouring bytes as one action, empty ones gone."""
    out: list[Action] = []
    for action in actions:
        if isinstance(action, bytes) and out and isinstance(last := out[-1], bytes):
            out[-1] = last + action
        elif action != b"":
            out.append(action)
    return out
