"""XTGETTCAP: what a program that asks for terminfo capabilities is told. Source: xterm's ctlseqs."""

import binascii
from typing import Final

_KNOWN: Final = {
    b"TN": b"xterm-256color",
    b"name": b"xterm-256color",
    b"Co": b"256",
    b"colors": b"256",
    b"RGB": b"8/8/8",
}
ASKED_MAX: Final = 64


def answer_capabilities(asked: bytes) -> bytes:
    """The answer to DCS + q `asked` ST, where `asked` are names in hexadecimal, separated by semicolons."""
    answers: list[bytes] = []
    for name in asked.split(b";")[:ASKED_MAX]:
        try:
            value = _KNOWN.get(binascii.unhexlify(name))
        except binascii.Error:
            value = None
        if value is None:
            # As xterm: the first name that is not known ends the answer.
            return b"".join(answers) + b"\x1bP0+r" + (name if name.isalnum() else b"") + b"\x1b\\"
        answers.append(b"\x1bP1+r" + name + b"=" + binascii.hexlify(value).upper() + b"\x1b\\")
    return b"".join(answers)
