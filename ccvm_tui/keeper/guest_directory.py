"""The guest's directory in the runtime directory, and the lock by which a keeper claims the guest.

Many systems remove /run/user/UID with all its content at the end of the user's last login. Guests keep running and must
be reachable at the next login. The keeper therefore checks its directory regularly, and recreates it if necessary.
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

CHECK_INTERVAL = 2.0
"""Seconds between checks of the directory."""


class GuestDirectory:
    """The guest's directory, claimed by this process.

    Raises claim.Taken if another keeper has claimed the guest, OSError if the directory cannot be created.
    """

    def __init__(self, paths: GuestPaths) -> None:
        self.paths = paths
        self._lock = claim.claim(paths.lock)

    @property
    def reachable(self) -> bool:
        """True while the lock of this process exists in the directory."""
        return claim.is_found(self._lock, self.paths.lock)

    async def keep_reachable(self, listen: Callable[[], Awaitable[None]]) -> None:
        """Check the directory regularly, until cancelled.

        If the directory was removed, claim the guest again and call ``listen``, which must create a new socket.
        """
        while True:
            await asyncio.sleep(CHECK_INTERVAL)
            if self.reachable:
                continue
            try:
                runtime_dir()
                lock = claim.claim(self.paths.lock)
                os.close(self._lock)
                self._lock = lock
                await listen()
                log.warning("the runtime directory was removed; recreated it")
            except (claim.Taken, OSError, UserError) as error:
                log.debug("cannot recreate the runtime directory: %s", error)

    def release(self) -> None:
        """Remove the directory and release the lock."""
        if self.reachable:
            claim.remove(self.paths.dir)
        os.close(self._lock)
