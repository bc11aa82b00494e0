"""Entry point of a keeper: ``python -P -m ccvm_tui.keeper`` with a LaunchSpec on standard input.

Standard output carries one line of JSON to whoever started it, then it is closed: ``{"ok": true}`` once the
socket accepts, ``{"taken": true}`` when another keeper has the guest, or the error that prevented the start.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import logging.handlers
import os
import signal
import sys
from typing import Any

from ccvm_tui import claim, packing
from ccvm_tui.errors import UserError
from ccvm_tui.keeper.home import Home
from ccvm_tui.keeper.keeper import Keeper
from ccvm_tui.keeper.server import Server
from ccvm_tui.paths import GuestPaths
from ccvm_tui.protocol import LaunchSpec

log = logging.getLogger(__name__)

LOG_MAX = 1 << 20


def main() -> int:
    try:
        spec = packing.Unpacker(LaunchSpec)(sys.stdin.buffer.read())
        paths = GuestPaths(spec.name)
        home = Home(paths)
    except claim.Taken:
        _announce({"taken": True})
        return 0
    except (UserError, OSError, ValueError) as error:
        _announce(_described(error))
        return 1
    try:
        _start_log(paths)
        return asyncio.run(_keep(spec, home))
    finally:
        home.leave()


async def _keep(spec: LaunchSpec, home: Home) -> int:
    keeper = Keeper(spec, home.paths)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, lambda: keeper.stop(force=False))
    loop.add_signal_handler(signal.SIGINT, lambda: keeper.stop(force=True))
    # heard and ignored: were it set to be ignored, every program started from here would inherit that
    loop.add_signal_handler(signal.SIGHUP, lambda: None)
    try:
        async with Server(keeper) as server:
            if not _announce({"ok": True}):
                log.info("whoever started this keeper has gone")
                return 0
            gc.freeze()  # what was imported stays for life: the collector need not look at it
            async with asyncio.TaskGroup() as tasks:
                staying = tasks.create_task(home.stay(server.listen), name="stay reachable")
                ending = await keeper.run()
                staying.cancel()
    except OSError as error:
        log.exception("the keeper cannot serve")
        _announce(_described(error))
        return 1
    log.info("ended: %s", ending.reason)
    return 0


def _start_log(paths: GuestPaths) -> None:
    """Log to the runtime directory, bounded. A disk that is full loses the log and nothing else."""
    logging.raiseExceptions = False
    try:
        handler: logging.Handler = logging.handlers.RotatingFileHandler(
            paths.keeper_log, maxBytes=LOG_MAX, backupCount=1, encoding="utf-8"
        )
    except OSError:
        handler = logging.NullHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    level = logging.DEBUG if os.environ.get("CCVM_DEBUG") else logging.INFO
    logging.basicConfig(level=level, handlers=[handler])
    # asyncssh logs every channel at this level, with the command line
    logging.getLogger("asyncssh").setLevel(logging.WARNING)


def _described(error: Exception) -> dict[str, Any]:
    if isinstance(error, UserError):
        return {"kind": type(error).__name__, "message": error.message, "hint": error.hint}
    return {"kind": "UserError", "message": f"the keeper cannot start: {error}", "hint": "try `ccvm-tui doctor`"}


def _announce(answer: dict[str, Any]) -> bool:
    """Tell whoever started us, once, and let go of his pipes; False when he has gone already."""
    try:
        os.write(1, json.dumps(answer).encode() + b"\n")
        heard = True
    except OSError:
        heard = False
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.close(null)
    return heard


if __name__ == "__main__":
    sys.exit(main())
