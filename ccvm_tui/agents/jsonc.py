"""JSON with comments and trailing commas, which Gemini CLI and OpenCode accept in their settings."""

from __future__ import annotations

import json
import re
from typing import Any

_PARTS = re.compile(r'("(?:[^"\\]|\\.)*")|//[^\n]*|/\*.*?\*/', re.DOTALL)
_TRAILING = re.compile(r'("(?:[^"\\]|\\.)*")|,(?=\s*[}\]])', re.DOTALL)


def loads(text: str) -> Any:
    """Decode ``text``. Raises ValueError if it is not JSON, apart from comments and trailing commas."""
    plain = _PARTS.sub(lambda part: part[1] or " ", text.removeprefix("\ufeff"))
    try:
        return json.loads(_TRAILING.sub(lambda part: part[1] or "", plain))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
