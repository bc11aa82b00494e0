"""msgpack encoding of messages whose strings need not be UTF-8, because they come from guests and file systems.

In Python such a string is surrogate-escaped (PEP 383), as in ``sys.argv`` and ``os.listdir``. The strings of msgpack
are UTF-8. A message with another string is therefore encoded with two extension types: 1 for the bytes of a string,
2 for the pairs of a map that has such a key. All other messages are encoded as usual.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import msgspec

T = TypeVar("T")

_STRING, _MAP = 1, 2


class Message(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """The base class of messages, which are tagged with the name of their type."""


_encoder = msgspec.msgpack.Encoder()


def pack(message: object) -> bytes:
    """Encode a message."""
    try:
        return _encoder.encode(message)
    except UnicodeEncodeError:
        return _encoder.encode(_escaped(msgspec.to_builtins(message, builtin_types=(bytes,))))


class Unpacker(Generic[T]):
    """A decoder for messages of one type: ``Unpacker(Type)(body)`` returns the message in ``body``."""

    def __init__(self, kind: type[T]) -> None:
        self._kind = kind
        self._decoder = msgspec.msgpack.Decoder(kind)
        self._any = msgspec.msgpack.Decoder(ext_hook=_unescape)

    def __call__(self, body: bytes) -> T:
        """Decode a message. Raises ValueError if ``body`` is not one."""
        try:
            try:
                return self._decoder.decode(body)
            except msgspec.ValidationError:
                return msgspec.convert(self._any.decode(body), self._kind)
        except (msgspec.DecodeError, RecursionError, TypeError) as error:  # TypeError: an unhashable key
            raise ValueError(str(error)) from error


def _escaped(value: Any) -> Any:
    match value:
        case str():
            return value if _is_utf8(value) else msgspec.msgpack.Ext(_STRING, _bytes(value))
        case dict():
            if all(_is_utf8(key) for key in value):
                return {key: _escaped(inner) for key, inner in value.items()}
            pairs = [[_escaped(key), _escaped(inner)] for key, inner in value.items()]
            return msgspec.msgpack.Ext(_MAP, _encoder.encode(pairs))
        case list() | tuple():
            return [_escaped(inner) for inner in value]
    return value


def _unescape(code: int, data: memoryview) -> Any:
    """Decode an extension type. Raises ValueError for data that ``_escaped`` does not produce."""
    if code == _STRING:
        return str(data, "utf-8", "surrogateescape")
    if code == _MAP:
        return dict(msgspec.msgpack.Decoder(list[tuple[Any, Any]], ext_hook=_unescape).decode(data))
    raise ValueError(f"extension type {code}")


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _bytes(text: str) -> bytes:
    """Encode a surrogate-escaped string. Other surrogates, which JSON may contain, become question marks."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")
