"""The part of GitHub's expression language that the workflows use: contexts, strings, ``==``, ``!=``, ``&&``, ``!``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_TOKEN = re.compile(r"\s*('(?:[^']|'')*'|==|!=|&&|\|\||!|\(|\)|true|false|[A-Za-z_][A-Za-z0-9_.-]*)")
_PLACE = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)


def substitute(text: str, contexts: Mapping[str, Any]) -> str:
    """Return the text with the values of its ``${{ … }}`` in their places."""
    return _PLACE.sub(lambda match: shown(evaluate(match[1], contexts)), text)


def shown(value: Any) -> str:
    """Return a value as GitHub writes it into a string."""
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def evaluate(expression: str, contexts: Mapping[str, Any]) -> Any:
    """Return the value of an expression. Raises ValueError for anything that is not supported here."""
    match = _PLACE.fullmatch(expression.strip())
    text = (match[1] if match else expression).strip()
    tokens, position = [], 0
    while position < len(text):
        token = _TOKEN.match(text, position)
        if not token:
            raise ValueError(f"unsupported expression: {expression}")
        tokens.append(token[1])
        position = token.end()
        if text[position:].isspace():
            break
    parser = _Parser(tokens, contexts)
    value = parser.either()
    if parser.rest:
        raise ValueError(f"unsupported expression: {expression}")
    return value


class _Parser:
    def __init__(self, tokens: list[str], contexts: Mapping[str, Any]) -> None:
        self.rest = tokens
        self._contexts = contexts

    def either(self) -> Any:
        value = self._both()
        while self._accept("||"):
            other = self._both()
            value = value or other
        return value

    def _both(self) -> Any:
        value = self._comparison()
        while self._accept("&&"):
            other = self._comparison()
            value = value and other
        return value

    def _comparison(self) -> Any:
        value = self._single()
        if self._accept("=="):
            return shown(value) == shown(self._single())
        if self._accept("!="):
            return shown(value) != shown(self._single())
        return value

    def _single(self) -> Any:
        token = self.rest.pop(0)
        if token == "!":
            return not self._single()
        if token == "(":
            value = self.either()
            assert self.rest.pop(0) == ")"
            return value
        if token in ("true", "false"):
            return token == "true"
        if token.startswith("'"):
            return token[1:-1].replace("''", "'")
        return self._look_up(token)

    def _look_up(self, path: str) -> Any:
        value: Any = self._contexts
        if path.split(".")[0] not in value:
            raise ValueError(f"unknown context: {path}")
        for part in path.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        return value

    def _accept(self, token: str) -> bool:
        if self.rest and self.rest[0] == token:
            self.rest.pop(0)
            return True
        return False
