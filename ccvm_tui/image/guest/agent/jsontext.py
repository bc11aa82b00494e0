"""JSON by the C part of Python's ``json`` package.

The Python part imports ``re`` and ``enum``. Under emulation this takes longer than all other imports of the agent.
"""

from __future__ import annotations

from _json import encode_basestring_ascii, make_encoder, make_scanner


class _Rules:
    """The attributes of ``json.decoder.JSONDecoder`` that the scanner reads."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float
    memo: dict[str, str] = {}  # noqa: RUF012 - the scanner's own scratch space


def _refuse(value: object) -> object:
    raise TypeError(f"{type(value).__name__} is not for JSON")


_scan = make_scanner(_Rules)  # type: ignore[arg-type]  # typeshed has it wrong
_encode = make_encoder(None, _refuse, encode_basestring_ascii, None, ":", ",", False, False, False)


def loads(text: str) -> object:
    """Decode ``text``. Raises ValueError if it is not exactly one JSON value."""
    stripped = text.strip(" \t\r\n")
    try:
        value, end = _scan(stripped, 0)
    except StopIteration:
        raise ValueError("not JSON") from None
    if end != len(stripped):
        raise ValueError("more than one JSON value")
    return value


def dumps(value: object) -> str:
    """Encode ``value``. Raises TypeError if a part of it cannot be represented in JSON."""
    return "".join(_encode(value, 0))
