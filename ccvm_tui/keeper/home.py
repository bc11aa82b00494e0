"""The guest's place in the runtime directory: claimed, kept, and taken again when the system cleared it away.

Many systems remove /run/user/UID when its user's last login ends, with everything in it. Guests live on, and must
be found when the user comes back: so a keeper looks after its place, and makes it anew as soon as it can.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable

from ccvm_tui import claim
from ccvm_tui.errors import UserError
from ccvm_tui.paths import GuestPaths, runtime_dir

log = logging.getLogger(__name__)

LOOK_EVERY = 2.0


class Home:
    """Raises claim.Taken when another keeper has the guest, OSError when there is no place for it."""

    def __init__(self, paths: GuestPaths) -> None:
        self.paths = paths
        self._lock = claim.claim(paths.lock)

    @property
    def standing(self) -> bool:
        """Whether clients can still find us here."""
        return claim.is_found(self._lock, self.paths.lock)

    async def stay(self, listen: Callable[[], Awaitable[None]]) -> None:
        """Look now and then; when the place is gone, take it again and ``listen`` there. Runs until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            if self.standing:
                continue
            try:
                runtime_dir()
                lock = claim.claim(self.paths.lock)
                os.close(self._lock)
                self._lock = lock
                await listen()
                log.warning("the runtime directory had been removed; made it anew")
            except (claim.Taken, OSError, UserError) as error:
                log.debug("no place yet: %s", error)

    def leave(self) -> None:
        """Remove what is ours; the lock goes with it."""
        if self.standing:
            claim.remove(self.paths.dir)
        os.close(self._lock)
