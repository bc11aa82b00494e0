"""The emulator's own snapshot: everything of a terminal in bytes that the same build of the library reads again.

Right for checkpoints of a running screen process; not a file format, since another build may read it otherwise.
Kitty images and callbacks are not in it.
"""

from typing import Final

from ccvm_tui.terminal.engine import Handle, check, ffi, lib, set_option

CONTINUATION_MAX: Final = 64 * 1024
"""Bytes of an unfinished sequence that are kept with a state."""


def keep_continuation(terminal: Handle) -> None:
    """Remember the unfinished sequence that the terminal is in: without it, no state in the middle of one."""
    set_option(terminal, "CONTINUATION_MAX_BYTES", ffi.new("size_t*", CONTINUATION_MAX))


def continuation(terminal: Handle) -> bytes:
    """The unfinished sequence or character that the terminal is in; empty when there is none, or it is too long."""
    pointer, length = ffi.new("uint8_t**"), ffi.new("size_t*")
    if lib.ghostty_terminal_continuation_alloc(terminal, ffi.NULL, pointer, length):
        return b""
    try:
        return bytes(ffi.buffer(pointer[0], length[0]))
    finally:
        lib.ghostty_free(ffi.NULL, pointer[0], length[0])


def encode(terminal: Handle) -> bytes:
    """The terminal's state.

    Raises:
        EngineError: the library cannot encode this state.
    """
    pointer, length = ffi.new("uint8_t**"), ffi.new("size_t*")
    check(lib.ghostty_snapshot_encode_alloc(terminal, ffi.NULL, pointer, length), "snapshot_encode")
    try:
        return bytes(ffi.buffer(pointer[0], length[0]))
    finally:
        lib.ghostty_free(ffi.NULL, pointer[0], length[0])


def decode(data: bytes) -> Handle:
    """A new terminal in the state that `encode` wrote.

    Raises:
        EngineError: the bytes are damaged, or hold what the library cannot rebuild.
    """
    decoder, out = ffi.new("GhosttySnapshotDecoder*"), ffi.new("GhosttyTerminal*")
    source = ffi.from_buffer("uint8_t[]", data)
    check(lib.ghostty_snapshot_decoder_new_buf(ffi.NULL, decoder, source, len(data)), "snapshot_decoder_new")
    try:
        options = (("MAX_CONTINUATION_BYTES", "size_t*", CONTINUATION_MAX), ("RETAIN_CONTINUATION", "bool*", True))
        for name, ctype, value in options:
            option = getattr(lib, f"GHOSTTY_SNAPSHOT_DECODER_OPT_{name}")
            check(lib.ghostty_snapshot_decoder_set(decoder[0], option, ffi.new(ctype, value)), f"set {name}")
        check(lib.ghostty_snapshot_decoder_decode(decoder[0], out), "snapshot_decode")
    finally:
        lib.ghostty_snapshot_decoder_free(decoder[0])
    return out[0]
