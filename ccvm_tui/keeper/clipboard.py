"""Images of the user's clipboard for programs in the guest.

The keeper has no desktop, so it asks the client that is active in the session whose program wants an image: a terminal
or a dashboard. A client reads types and data of images only (``ccvm_tui.client.images``).
"""

from __future__ import annotations

import asyncio
import itertools
import re
import time
from collections.abc import Callable
from typing import Protocol

from ccvm_tui.bridging import ClipboardImage, ClipboardWanted
from ccvm_tui.protocol import Happened
from ccvm_tui.text import size_text

SOCKET = "/run/ccvm/bridge/clipboard.sock"
"""The socket in the guest on which the keeper listens, through SSH."""

ANSWER_TIMEOUT = 8.0
"""Seconds within which a client must answer."""

REQUEST_MAX = 200
"""Maximum length of a request in bytes."""

WAITING_MAX = 8
"""Maximum number of requests that wait for an answer."""

_REQUEST = re.compile(rb"(?P<session>[A-Za-z0-9-]{1,20}) (types|image (?P<kind>image/[a-z0-9.+-]{1,40}))\n")
_ANSWERED, _REFUSED = b"+", b"-"


class Asker(Protocol):
    """A function that sends a request to the client that is active in a session, or in any if it has none.

    It returns whether there is a client.
    """

    def __call__(self, session: str, wanted: ClipboardWanted, /) -> bool:
        """Send ``wanted``."""


class ClipboardImages:
    """The requests of one guest. ``ask`` reaches a client, ``record`` records the images that were read."""

    def __init__(self, ask: Asker, record: Callable[[Happened], None]) -> None:
        self._ask = ask
        self._record = record
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[ClipboardImage]] = {}

    async def answer(self, request: bytes) -> bytes:
        """Return the answer to a request from the guest, which may be hostile."""
        parsed = _REQUEST.fullmatch(request)
        if parsed is None:
            return _REFUSED + b"only images can be requested"
        if len(self._waiting) >= WAITING_MAX:
            return _REFUSED + b"too many requests"
        session, kind = parsed["session"].decode(), (parsed["kind"] or b"").decode()
        id_ = next(self._ids)
        future: asyncio.Future[ClipboardImage] = asyncio.get_running_loop().create_future()
        self._waiting[id_] = future
        try:
            if not self._ask(session, ClipboardWanted(id_, kind)):
                return _REFUSED + b"no terminal shows this session"
            async with asyncio.timeout(ANSWER_TIMEOUT):
                found = await future
        except TimeoutError:
            return _REFUSED + b"the terminal did not answer"
        finally:
            del self._waiting[id_]
        if not kind:
            types = [one for one in found.types if re.fullmatch(r"image/[a-z]{1,20}", one)]
            return _ANSWERED + "".join(f"{one}\n" for one in types).encode()
        if not found.data:
            return _REFUSED + b"the clipboard has no such image"
        text = f"reads an image from your clipboard ({kind}, {size_text(len(found.data))})"
        self._record(Happened(time.time(), "image", text, session if session.startswith("s") else ""))
        return _ANSWERED + found.data

    def received(self, image: ClipboardImage) -> None:
        """Handle the answer of a client."""
        future = self._waiting.get(image.id)
        if future is not None and not future.done():
            future.set_result(image)
