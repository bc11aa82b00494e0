"""The level of xterm's modifyOtherKeys. The library reports level 2 only, so this module parses the output itself.

Source: xterm's ctlseqs, "Set/reset key modifier options (XTMODKEYS)" and "Disable key modifier options".
"""

import re
from typing import Final

_CHANGE: Final = re.compile(rb"\x1b(?:\[>(?:(4)?(?:;([0-9]{0,3}))?m|(4)n)|(c)|(\[!p))")
_UNFINISHED: Final = re.compile(rb"\x1b(?:\[(?:![0-9]*|>[0-9;]{0,8})?)?\Z")


class OtherKeys:
    """The level that the program has set.

    ``level`` is 0 (off), 1 (only keys that have no traditional encoding) or 2 (all keys with modifiers).
    """

    def __init__(self, level: int = 0) -> None:
        self.level = level
        self._held = b""

    def feed(self, data: bytes) -> None:
        """Parse output of the program, which may be cut anywhere."""
        if self._held:
            data, self._held = self._held + data, b""
        if self._may_change(data):
            self._apply(data)
        if b"\x1b" in (end := data[-16:]) and (unfinished := _UNFINISHED.search(end)):
            self._held = unfinished[0]

    def _may_change(self, data: bytes) -> bool:
        """Return whether the data may change the level. All output passes here, so this must be fast."""
        if b">" in data and b"\x1b[>" in data:
            return True
        return self.level > 0 and (b"\x1bc" in data or b"\x1b[!p" in data)

    def _apply(self, data: bytes) -> None:
        for match in _CHANGE.finditer(data):
            resource, value = match[1], match[2]
            if resource is None and match[0].endswith(b"m") and value is not None:
                continue  # a value without a resource has no effect
            self.level = min(int(value or 0), 2)

    def sequence(self) -> bytes:
        """Return the sequence that sets a terminal from level 0 to this level."""
        return b"\x1b[>4;%dm" % self.level if self.level else b""
