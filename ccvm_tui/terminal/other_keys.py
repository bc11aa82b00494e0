"""xterm's modifyOtherKeys as a program sets it. The emulator tells of its second level only, so this one listens.

Source: xterm's ctlseqs, "Set/reset key modifier options (XTMODKEYS)" and "Disable key modifier options".
"""

import re
from typing import Final

_CHANGE: Final = re.compile(rb"\x1b(?:\[>(?:(4)?(?:;([0-9]{0,3}))?m|(4)n)|(c)|(\[!p))")
_UNFINISHED: Final = re.compile(rb"\x1b(?:\[(?:![0-9]*|>[0-9;]{0,8})?)?\Z")


class OtherKeys:
    """``level`` is 0 (off), 1 (keys that would not be told otherwise) or 2 (all that have modifiers)."""

    def __init__(self, level: int = 0) -> None:
        self.level = level
        self._held = b""

    def feed(self, data: bytes) -> None:
        """Output of the program, cut anywhere."""
        if self._held:
            data, self._held = self._held + data, b""
        if self._may_change(data):
            self._change(data)
        if b"\x1b" in (end := data[-16:]) and (unfinished := _UNFINISHED.search(end)):
            self._held = unfinished[0]

    def _may_change(self, data: bytes) -> bool:
        """A quick look, since all output comes by here: one character that text seldom has is found fast."""
        if b">" in data and b"\x1b[>" in data:
            return True
        return self.level > 0 and (b"\x1bc" in data or b"\x1b[!p" in data)

    def _change(self, data: bytes) -> None:
        for match in _CHANGE.finditer(data):
            resource, value = match[1], match[2]
            if resource is None and match[0].endswith(b"m") and value is not None:
                continue  # a value without a resource means nothing
            self.level = min(int(value or 0), 2)

    def sequence(self) -> bytes:
        """The bytes that set a terminal without it to this level."""
        return b"\x1b[>4;%dm" % self.level if self.level else b""
