"""Encoding of keys, compared with libghostty-vt's own encoder for the kitty protocol."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccvm_tui.terminal.cells import Mode, Modes
from ccvm_tui.terminal.engine import ffi, lib
from ccvm_tui.terminal.keys import ALT, CTRL, NUM_LOCK, PRESS, RELEASE, REPEAT, SHIFT, SUPER, Stroke, encode_key

PLAIN = Modes()
APPLICATION = Modes(flags=Mode.APPLICATION_CURSOR | Mode.APPLICATION_KEYPAD)


@pytest.mark.parametrize(
    ("stroke", "normal", "application"),
    [
        (Stroke("a", text="a"), b"a", b"a"),
        (Stroke("é", text="é"), "é".encode(), "é".encode()),
        (Stroke("a", SHIFT, "A"), b"A", b"A"),
        (Stroke("a", CTRL), b"\x01", b"\x01"),
        (Stroke("a", CTRL | SHIFT), b"\x01", b"\x01"),
        (Stroke("\\", CTRL), b"\x1c", b"\x1c"),
        (Stroke(" ", CTRL), b"\0", b"\0"),
        (Stroke("/", CTRL), b"\x1f", b"\x1f"),
        (Stroke("2", CTRL | SHIFT), b"\0", b"\0"),
        (Stroke("c", CTRL | ALT), b"\x1b\x03", b"\x1b\x03"),
        (Stroke("x", ALT, ""), b"\x1bx", b"\x1bx"),
        (Stroke("x", ALT | SHIFT, ""), b"\x1bX", b"\x1bX"),
        (Stroke("с", CTRL, base=ord("c")), b"\x03", b"\x03"),  # Cyrillic es, where c is on a US keyboard
        (Stroke("up"), b"\x1b[A", b"\x1bOA"),
        (Stroke("up", NUM_LOCK), b"\x1b[A", b"\x1bOA"),
        (Stroke("up", SHIFT), b"\x1b[1;2A", b"\x1b[1;2A"),
        (Stroke("home"), b"\x1b[H", b"\x1bOH"),
        (Stroke("end", CTRL), b"\x1b[1;5F", b"\x1b[1;5F"),
        (Stroke("delete"), b"\x1b[3~", b"\x1b[3~"),
        (Stroke("pageup", ALT), b"\x1b[5;3~", b"\x1b[5;3~"),
        (Stroke("f1"), b"\x1bOP", b"\x1bOP"),
        (Stroke("f3", SHIFT), b"\x1b[1;2R", b"\x1b[1;2R"),
        (Stroke("f5"), b"\x1b[15~", b"\x1b[15~"),
        (Stroke("f13"), b"\x1b[1;2P", b"\x1b[1;2P"),
        (Stroke("f17"), b"\x1b[15;2~", b"\x1b[15;2~"),
        (Stroke("enter"), b"\r", b"\r"),
        (Stroke("enter", SHIFT), b"\r", b"\r"),
        (Stroke("enter", ALT), b"\x1b\r", b"\x1b\r"),
        (Stroke("tab"), b"\t", b"\t"),
        (Stroke("tab", SHIFT), b"\x1b[Z", b"\x1b[Z"),
        (Stroke("escape"), b"\x1b", b"\x1b"),
        (Stroke("backspace"), b"\x7f", b"\x7f"),
        (Stroke("backspace", CTRL), b"\x08", b"\x08"),
        (Stroke("backspace", ALT), b"\x1b\x7f", b"\x1b\x7f"),
        (Stroke("kp_5"), b"5", b"\x1bOu"),
        (Stroke("kp_5", NUM_LOCK, "5"), b"5", b"5"),
        (Stroke("kp_enter"), b"\r", b"\x1bOM"),
        (Stroke("kp_left"), b"\x1b[D", b"\x1bOD"),
        (Stroke("left_shift"), b"", b""),
        (Stroke("a", text="a", action=RELEASE), b"", b""),
        (Stroke("a", text="a", action=REPEAT), b"a", b"a"),
    ],
)
def test_xterm_encoding(stroke: Stroke, normal: bytes, application: bytes) -> None:
    assert encode_key(stroke, PLAIN) == normal
    assert encode_key(stroke, APPLICATION) == application


def test_enter_and_backspace_follow_their_modes() -> None:
    assert encode_key(Stroke("enter"), Modes(flags=Mode.NEWLINE)) == b"\r\n"
    assert encode_key(Stroke("backspace"), Modes(flags=Mode.BACKARROW_SENDS_BS)) == b"\x08"


@pytest.mark.parametrize(
    ("stroke", "flags", "data"),
    [
        (Stroke("a", text="a"), 1, b"a"),
        (Stroke("escape"), 1, b"\x1b[27u"),
        (Stroke("enter"), 1, b"\r"),
        (Stroke("enter", SHIFT), 1, b"\x1b[13;2u"),
        (Stroke("a", CTRL), 1, b"\x1b[97;5u"),
        (Stroke("a", CTRL | SHIFT), 5, b"\x1b[97:65;6u"),
        (Stroke("tab", SHIFT), 1, b"\x1b[9;2u"),
        (Stroke("up"), 1, b"\x1b[A"),
        (Stroke("up", NUM_LOCK), 1, b"\x1b[1;129A"),
        (Stroke("a", text="a", action=RELEASE), 3, b"\x1b[97;1:3u"),
        (Stroke("a", text="a"), 8, b"\x1b[97u"),
        (Stroke("a", SHIFT, "A"), 31, b"\x1b[97:65;2;65u"),
        (Stroke("left_shift", SHIFT), 8, b"\x1b[57441;2u"),
        (Stroke("left_shift", SHIFT), 1, b""),
        (Stroke("f3"), 1, b"\x1b[13~"),
        (Stroke("kp_5", NUM_LOCK, "5"), 1, b"5"),
        (Stroke("kp_left"), 1, b"\x1b[57417u"),
        (Stroke("s", SUPER), 1, b"\x1b[115;9u"),
    ],
)
def test_kitty_encoding(stroke: Stroke, flags: int, data: bytes) -> None:
    assert encode_key(stroke, Modes(kitty=flags)) == data


class LibraryEncoder:
    """libghostty-vt's key encoder."""

    def __init__(self) -> None:
        out = ffi.new("GhosttyKeyEncoder*")
        assert not lib.ghostty_key_encoder_new(ffi.NULL, out)
        self._encoder = out[0]
        event = ffi.new("GhosttyKeyEvent*")
        assert not lib.ghostty_key_event_new(ffi.NULL, event)
        self._event = event[0]

    def encode(self, stroke: Stroke, key: int, flags: int) -> bytes:
        lib.ghostty_key_encoder_setopt(
            self._encoder, lib.GHOSTTY_KEY_ENCODER_OPT_KITTY_FLAGS, ffi.new("uint8_t*", flags)
        )
        event = self._event
        lib.ghostty_key_event_set_action(event, {PRESS: 1, REPEAT: 2, RELEASE: 0}[stroke.action])
        lib.ghostty_key_event_set_key(event, key)
        lib.ghostty_key_event_set_mods(event, self._mods(stroke.modifiers))
        # If there is text, the keyboard layout has already applied Shift.
        lib.ghostty_key_event_set_consumed_mods(event, 1 if stroke.text and stroke.modifiers & SHIFT else 0)
        text = stroke.text.encode()
        buffer = ffi.from_buffer("char[]", text)
        lib.ghostty_key_event_set_utf8(event, buffer if text else ffi.NULL, len(text))
        lib.ghostty_key_event_set_unshifted_codepoint(event, ord(stroke.key) if len(stroke.key) == 1 else 0)
        out, length = ffi.new("char[128]"), ffi.new("size_t*")
        assert not lib.ghostty_key_encoder_encode(self._encoder, event, out, 128, length)
        data: Any = ffi.buffer(out, length[0])[:]
        return bytes(data)

    @staticmethod
    def _mods(modifiers: int) -> int:
        return (modifiers & SHIFT) | (modifiers & CTRL and 2) | (modifiers & ALT and 4) | (modifiers & SUPER and 8)


NAMED = {
    "up": "ARROW_UP", "down": "ARROW_DOWN", "left": "ARROW_LEFT", "right": "ARROW_RIGHT", "home": "HOME", "end": "END",
    "insert": "INSERT", "delete": "DELETE", "pageup": "PAGE_UP", "pagedown": "PAGE_DOWN", "escape": "ESCAPE",
    "enter": "ENTER", "tab": "TAB", "backspace": "BACKSPACE", **{f"f{n}": f"F{n}" for n in range(1, 13)},
}  # fmt: skip
letters = st.sampled_from("abcxyz").map(lambda letter: (letter, f"{letter.upper()}"))
keys = st.one_of(st.sampled_from(sorted(NAMED.items())), letters)


@settings(max_examples=600, deadline=None)
@given(
    keys,
    st.sets(st.sampled_from([SHIFT, CTRL, ALT, SUPER])).map(sum),
    st.sampled_from([PRESS, REPEAT, RELEASE]),
    st.integers(1, 31).map(lambda flags: flags | 1),
)
def test_the_kitty_encoding_matches_the_library(key: tuple[str, str], modifiers: int, action: int, flags: int) -> None:
    name, constant = key
    text = ""
    if len(name) == 1 and not modifiers & ~SHIFT:
        text = name.upper() if modifiers & SHIFT else name
    stroke = Stroke(name, modifiers, text if action != RELEASE else "", action)
    if len(name) == 1 and not stroke.text:
        flags &= ~4  # the library does not get the shifted character
    if action == PRESS:
        flags &= ~2  # the library sends the event type of a press, kitty omits it; both are valid
    code = getattr(lib, f"GHOSTTY_KEY_{constant}")
    assert encode_key(stroke, Modes(kitty=flags)) == LibraryEncoder().encode(stroke, code, flags)
