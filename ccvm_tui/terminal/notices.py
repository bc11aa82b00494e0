"""OSC 99: kitty's desktop notifications, which may be sent in pieces.

Source: https://sw.kovidgoyal.net/kitty/desktop-notifications/
"""

import base64
import binascii
from typing import Final

from ccvm_tui.terminal.callbacks import TEXT_MAX, Outbox
from ccvm_tui.terminal.events import Notification

PENDING_MAX: Final = 16
"""Incomplete notifications that are kept; the oldest are dropped."""


class NotificationParser:
    """Joins the pieces of notifications, and adds an event to the outbox for each complete notification."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._pending: dict[bytes, dict[bytes, bytes]] = {}

    def feed(self, content: bytes) -> None:
        """Parse the content of one OSC 99, without its number: ``key=value:key=value;payload``."""
        metadata, _, payload = content.partition(b";")
        keys = dict(pair.split(b"=", 1) for pair in metadata.split(b":") if b"=" in pair)
        part = keys.get(b"p", b"title")
        if part not in (b"title", b"body"):
            return  # a query, an icon, buttons, or a request to close a notification
        if keys.get(b"e") == b"1":
            try:
                payload = base64.b64decode(payload, validate=False)
            except binascii.Error:
                return
        name = keys.get(b"i", b"")
        notice = self._pending.setdefault(name, {})
        notice[part] = (notice.get(part, b"") + payload)[: TEXT_MAX * 4]
        if keys.get(b"d") == b"0":
            while len(self._pending) > PENDING_MAX:
                del self._pending[next(iter(self._pending))]
            return
        del self._pending[name]
        title, body = (_text(notice.get(key, b"")) for key in (b"title", b"body"))
        if title or body:
            self._outbox.add(Notification(title, body, 99))


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")[:TEXT_MAX]
