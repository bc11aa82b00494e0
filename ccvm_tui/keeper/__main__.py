"""Entry point of a keeper: ``python -P -m ccvm_tui.keeper`` with a LaunchSpec on standard input.

The keeper writes one line of JSON to standard output and closes it: ``{"ok": true}`` once its socket accepts
connections, ``{"taken": true}`` if another keeper has claimed the guest, or the error that prevented the start.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import logging.handlers
import os
import resource
import signal
import sys
from typing import Any

from ccvm_tui import claim, packing
from ccvm_tui.errors import UserError
from ccvm_tui.keeper.guest_directory import GuestDirectory
from ccvm_tui.keeper.keeper import Keeper
from ccvm_tui.keeper.server import Server
from ccvm_tui.paths import GuestPaths
from ccvm_tui.protocol import LaunchSpec

log = logging.getLogger(__name__)

LOG_MAX = 1 << 20
"""Maximum size of a file of the keeper's log in bytes."""


def main() -> int:
    """Run a keeper and return its exit status."""
    # the memory of the keeper contains keys, which no core file must contain; child processes inherit the limit
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        spec = packing.Unpacker(LaunchSpec)(sys.stdin.buffer.read())
        paths = GuestPaths(spec.name)
        directory = GuestDirectory(paths)
    except claim.Taken:
        _report_start({"taken": True})
        return 0
    except (UserError, OSError, ValueError) as error:
        _report_start(_as_json(error))
        return 1
    try:
        _start_log(paths)
        return asyncio.run(_run(spec, directory))
    finally:
        directory.release()


async def _run(spec: LaunchSpec, directory: GuestDirectory) -> int:
    keeper = Keeper(spec, directory.paths)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, lambda: keeper.stop(force=False))
    loop.add_signal_handler(signal.SIGINT, lambda: keeper.stop(force=True))
    # a handler that does nothing, because SIG_IGN would be inherited by every program started from here
    loop.add_signal_handler(signal.SIGHUP, lambda: None)
    try:
        async with Server(keeper) as server:
            if not _report_start({"ok": True}):
                log.info("the process that started this keeper has exited")
                return 0
            gc.freeze()  # the collector need not examine imported modules
            async with asyncio.TaskGroup() as tasks:
                watching = tasks.create_task(directory.keep_reachable(server.listen), name="guest directory")
                ending = await keeper.run()
                watching.cancel()
    except OSError as error:
        log.exception("the keeper cannot serve")
        _report_start(_as_json(error))
        return 1
    log.info("ended: %s", ending.reason)
    return 0


def _start_log(paths: GuestPaths) -> None:
    """Log to bounded files in the runtime directory. A full disk stops the log and affects nothing else."""
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
    # at the level INFO, asyncssh logs every channel with its command line
    logging.getLogger("asyncssh").setLevel(logging.WARNING)


def _as_json(error: Exception) -> dict[str, Any]:
    if isinstance(error, UserError):
        return {"kind": type(error).__name__, "message": error.message, "hint": error.hint}
    return {"kind": "UserError", "message": f"the keeper cannot start: {error}", "hint": "try `ccvm-tui doctor`"}


def _report_start(result: dict[str, Any]) -> bool:
    """Write ``result`` to standard output, and detach from the standard streams.

    Returns False if the process that started the keeper has exited. Further calls have no effect.
    """
    try:
        os.write(1, json.dumps(result).encode() + b"\n")
        delivered = True
    except OSError:
        delivered = False
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.close(null)
    return delivered


if __name__ == "__main__":
    sys.exit(main())
