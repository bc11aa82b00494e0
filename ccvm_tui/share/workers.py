"""Threads for what blocks for long."""

from __future__ import annotations

import errno
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from ccvm_tui.share.request import DEFERRED, Call, Reply


class Workers:
    """A few threads. ``finished`` runs what they have to say in the server's own thread."""

    def __init__(self, finished: Callable[[Callable[[], None]], None]) -> None:
        self._finished = finished
        self._pool = ThreadPoolExecutor(4, thread_name_prefix="share")

    def run(self, call: Call, work: Callable[[], bytes], then: Callable[[], None] = lambda: None) -> Reply:
        """Answer with what ``work``, done in another thread, returns or raises; call ``then`` in this one before."""

        def run() -> None:
            error, data = 0, b""
            try:
                data = work()
            except OSError as failure:
                error = failure.errno or errno.EIO
            except OverflowError:  # an offset that no file can have
                error = errno.EINVAL

            def answer() -> None:
                then()
                if error:
                    call.fail(error)
                else:
                    call.answer(data)

            self._finished(answer)

        self._pool.submit(run)
        return DEFERRED
