"""XTGETTCAP: replies to programs that query terminfo capabilities. Source: xterm's ctlseqs."""

import binascii
from typing import Final

_KNOWN: Final = {
    b"TN": b"xterm-256color",
    b"name": b"xterm-256color",
    b"Co": b"256",
    b"colors": b"256",
    b"RGB": b"8/8/8",
}
NAMES_MAX: Final = 64
"""Capabilities that one query can ask for; the rest of the query is ignored."""


def answer_capabilities(names: bytes) -> bytes:
    """Return the reply to DCS + q ``names`` ST, where ``names`` are hexadecimal and separated by semicolons."""
    answers: list[bytes] = []
    for name in names.split(b";")[:NAMES_MAX]:
        try:
            value = _KNOWN.get(binascii.unhexlify(name))
        except binascii.Error:
            value = None
        if value is None:
            # Like xterm, stop at the first unknown name.
            return b"".join(answers) + b"\x1bP0+r" + (name if name.isalnum() else b"") + b"\x1b\\"
        answers.append(b"\x1bP1+r" + name + b"=" + binascii.hexlify(value).upper() + b"\x1b\\")
    return b"".join(answers)
