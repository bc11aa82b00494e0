"""JSON by the C half of Python's json package. The half in Python imports `re` and `enum`, which takes a guest
under emulation longer than everything else the agent imports."""

from __future__ import annotations

from _json import encode_basestring_ascii, make_encoder, make_scanner


class _Rules:
    """What json.decoder.JSONDecoder would tell the scanner."""

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
    """Raises ValueError for what is no JSON."""
    stripped = text.strip(" \t\r\n")
    try:
        value, end = _scan(stripped, 0)
    except StopIteration:
        raise ValueError("not JSON") from None
    if end != len(stripped):
        raise ValueError("more than one JSON value")
    return value


def dumps(value: object) -> str:
    """Raises TypeError for what JSON cannot say."""
    return "".join(_encode(value, 0))
