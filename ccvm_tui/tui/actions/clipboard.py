"""The user's clipboard: text that the user copies, and text that programs in guests copy.

Text is sent to the host terminal (OSC 52), and to the desktop's own tool if there is one.
"""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from ccvm_tui.guest import SessionInfo
from ccvm_tui.text import plain
from ccvm_tui.tui.actions.ask import Ask
from ccvm_tui.tui.model.sessions import SessionKey, session_title

OSC52_MAX = 1 << 20
"""Maximum length in bytes of text in OSC 52. No terminal accepts more; the desktop's tools have no such limit."""

TOOL_TIMEOUT = 2.0
"""Seconds within which the desktop's tool must accept the text."""

GUEST_TEXT_MAX = 1 << 20
"""Maximum length in bytes of text that a guest may copy."""

GUEST_INTERVAL = 1.0
"""Seconds between two copies of the same session. Of those in between, only the last one is kept."""

Work = Callable[[], Awaitable[None]]
"""A function to run in the background."""


def osc52(data: bytes, selection: str = "c") -> str:
    """Return the sequence that copies text, or an empty string if the text is too long for it."""
    if len(data) > OSC52_MAX:
        return ""
    return f"\x1b]52;{selection};{base64.b64encode(data).decode()}\x1b\\"


def desktop_tool(environ: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Return the arguments of a program that copies its standard input, or none if there is no such program."""
    if environ.get("WAYLAND_DISPLAY") and (found := shutil.which("wl-copy")):
        return (found,)
    if environ.get("DISPLAY") and (found := shutil.which("xclip")):
        return (found, "-selection", "clipboard", "-in")
    if found := shutil.which("pbcopy"):
        return (found,)
    return ()


async def copy_with_tool(data: bytes) -> bool:
    """Copy text with the desktop's tool. Return whether the tool has accepted it."""
    argv = desktop_tool()
    if not argv:
        return False
    null = asyncio.subprocess.DEVNULL
    try:
        process = await asyncio.create_subprocess_exec(
            *argv, stdin=asyncio.subprocess.PIPE, stdout=null, stderr=null, start_new_session=True
        )
    except OSError:
        return False
    try:
        async with asyncio.timeout(TOOL_TIMEOUT):
            await process.communicate(data)
    except TimeoutError:
        process.kill()
        await process.wait()
        return False
    return process.returncode == 0


class Clipboard:
    """The user's clipboard. ``write`` writes to the host terminal, ``remember`` keeps text for the app's own lines."""

    def __init__(self, write: Callable[[str], None], remember: Callable[[str], None]) -> None:
        self._write = write
        self._remember = remember

    async def copy(self, data: bytes) -> bool:
        """Copy text. Return whether the terminal or a tool accepts text of this length."""
        sequence = osc52(data)
        self._write(sequence)
        self._remember(data.decode("utf-8", "replace"))
        return await copy_with_tool(data) or bool(sequence)


class GuestClipboard:
    """The handler of text that programs in guests copy (OSC 52), which follows the setting ``osc52``.

    With the policy ``ask``, the user is asked once for each session. A program may copy thousands of times in a second,
    so copies are limited to one per ``GUEST_INTERVAL``. ``policy`` returns the setting for a guest, and ``notify``
    notifies the user of each copy.
    """

    def __init__(
        self, policy: Callable[[str], str], ask: Ask, clipboard: Clipboard, notify: Callable[[str], None]
    ) -> None:
        self._policy_of = policy
        self._ask = ask
        self._clipboard = clipboard
        self._notify = notify
        # by session and its time of creation, because a new guest of the same name must not inherit the answer
        self._allowed: dict[tuple[SessionKey, float], bool] = {}
        self._asking: dict[SessionKey, bytes] = {}
        self._waiting: dict[SessionKey, bytes] = {}
        self._copying: set[SessionKey] = set()

    def offer(self, key: SessionKey, info: SessionInfo | None, data: bytes) -> Work | None:
        """Handle text that a session copies.

        Return a function to run in the background, or None if there is nothing to do or an earlier one will do it.
        """
        life, policy = (key, info.created if info is not None else 0.0), self._policy_of(key.guest)
        allowed = True if policy == "allow" else self._allowed.get(life)
        if policy == "refuse" or not data or len(data) > GUEST_TEXT_MAX or allowed is False:
            return None
        if allowed:
            self._waiting[key] = data
            return None if key in self._copying else partial(self._copy_waiting, key)
        asking = key in self._asking
        self._asking[key] = data
        return None if asking else partial(self._ask_and_copy, life, info)

    async def _ask_and_copy(self, life: tuple[SessionKey, float], info: SessionInfo | None) -> None:
        key, _ = life
        data = self._asking[key]
        lines = [
            f"{session_title(info) if info else key.session} in {key.guest} copies {len(data)} bytes:",
            f"  {plain(data[:400].decode('utf-8', 'replace'), 120)}",
            "The answer is valid for this session until you quit the dashboard.",
        ]
        try:
            self._allowed[life] = await self._ask("Allow it to use your clipboard?", lines, "allow it")
        finally:
            data = self._asking.pop(key)
        if self._allowed[life]:
            self._waiting[key] = data
            await self._copy_waiting(key)

    async def _copy_waiting(self, key: SessionKey) -> None:
        if key in self._copying:
            return
        self._copying.add(key)
        try:
            while (data := self._waiting.pop(key, None)) is not None:
                await self._clipboard.copy(data)
                self._notify(f"{key.guest} copied {len(data)} bytes to your clipboard")
                await asyncio.sleep(GUEST_INTERVAL)
        finally:
            self._copying.discard(key)
