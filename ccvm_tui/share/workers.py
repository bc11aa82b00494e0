"""Threads for operations that may block for long."""

from __future__ import annotations

import errno
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from ccvm_tui.share.request import DEFERRED, Call, Reply


class Workers:
    """A pool of threads. ``call_soon`` can be called from any thread and runs a function in the server's thread."""

    def __init__(self, call_soon: Callable[[Callable[[], None]], None]) -> None:
        self._call_soon = call_soon
        self._pool = ThreadPoolExecutor(4, thread_name_prefix="share")

    def run(self, call: Call, work: Callable[[], bytes], then: Callable[[], None] = lambda: None) -> Reply:
        """Run ``work`` in another thread and answer ``call`` with its result, or with the OSError that it raises.

        ``then`` is called in the server's thread before the reply is sent.
        """

        def run() -> None:
            error, data = 0, b""
            try:
                data = work()
            except OSError as failure:
                error = failure.errno or errno.EIO
            except OverflowError:  # an offset that exceeds the maximum file size
                error = errno.EINVAL

            def answer() -> None:
                then()
                if error:
                    call.fail(error)
                else:
                    call.answer(data)

            self._call_soon(answer)

        self._pool.submit(run)
        return DEFERRED
