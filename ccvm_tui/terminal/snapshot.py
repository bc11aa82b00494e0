"""The library's snapshots: the whole state of a terminal as bytes.

Only the same build of the library can decode a snapshot, so use them for checkpoints and not as a file format. They do
not contain Kitty images and callbacks.
"""

from typing import Final

from ccvm_tui.terminal.engine import Handle, check, ffi, lib, set_option

CONTINUATION_MAX: Final = 64 * 1024
"""Bytes of an incomplete escape sequence that are kept with a state."""


def keep_continuation(terminal: Handle) -> None:
    """Make the terminal keep an incomplete escape sequence, without which a snapshot cannot be taken inside one."""
    set_option(terminal, "CONTINUATION_MAX_BYTES", ffi.new("size_t*", CONTINUATION_MAX))


def continuation(terminal: Handle) -> bytes:
    """Return the incomplete sequence or character at the end of the output; empty if none, or if it is too long."""
    pointer, length = ffi.new("uint8_t**"), ffi.new("size_t*")
    if lib.ghostty_terminal_continuation_alloc(terminal, ffi.NULL, pointer, length):
        return b""
    try:
        return bytes(ffi.buffer(pointer[0], length[0]))
    finally:
        lib.ghostty_free(ffi.NULL, pointer[0], length[0])


def encode(terminal: Handle) -> bytes:
    """Encode the terminal's state. Raises EngineError if the library cannot encode it."""
    pointer, length = ffi.new("uint8_t**"), ffi.new("size_t*")
    check(lib.ghostty_snapshot_encode_alloc(terminal, ffi.NULL, pointer, length), "snapshot_encode")
    try:
        return bytes(ffi.buffer(pointer[0], length[0]))
    finally:
        lib.ghostty_free(ffi.NULL, pointer[0], length[0])


def decode(data: bytes) -> Handle:
    """Create a terminal in a state returned by ``encode``.

    Raises EngineError if the bytes are damaged or the library cannot decode them.
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
