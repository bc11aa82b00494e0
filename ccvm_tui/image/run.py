"""Programs that take part in a build: watched, cancellable, and never left behind."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from ccvm_tui.errors import ImageError

_TICK = 0.25
_GRACE = 15.0
_TAIL = 12

# The kernel tells the guard when this process dies, whatever killed it. The guard ends the whole process group:
# mmdebstrap's worker, in a namespace of its own, would not notice that mmdebstrap is gone.
_GUARD = """
trap 'trap "" TERM; kill -TERM 0; sleep 2; kill -KILL 0' TERM
exec 3<&0
"$@" <&3 3<&- &
wait $!
"""


class BuildCancelled(ImageError):
    """Somebody asked the build to end; what was there before is as it was."""


class Running:
    """One program in a process group of its own. Leaving the context kills what still runs."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        stdin: IO[bytes] | int = subprocess.DEVNULL,
        stdout: int | None = None,
        keep_open: Sequence[int] = (),
    ) -> None:
        self.name = Path(argv[0]).name
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", "sh", "-c", _GUARD, "guard", *argv],
            cwd=cwd,
            env=env,
            stdin=stdin,
            stdout=subprocess.PIPE if stdout is None else stdout,
            stderr=subprocess.STDOUT if stdout is None else subprocess.PIPE,
            process_group=0,
            pass_fds=keep_open,
        )
        self.tail: deque[str] = deque(maxlen=_TAIL)

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """SIGTERM, after a grace SIGKILL, to the whole group; reaps."""
        if self.process.poll() is None:
            self._signal(signal.SIGTERM)
            try:
                self.process.wait(_GRACE)
            except subprocess.TimeoutExpired:
                self._signal(signal.SIGKILL)
                self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def follow(self, on_line: Callable[[str], None], on_tick: Callable[[], None], cancel: threading.Event) -> None:
        """Read what the program says until it ends.

        Raises BuildCancelled soon after ``cancel`` is set, ImageError with its last lines when it fails.
        """
        stream = self.process.stderr or self.process.stdout
        assert stream is not None
        rest = b""
        with selectors.DefaultSelector() as selector:
            selector.register(stream, selectors.EVENT_READ)
            ticked = 0.0
            while True:
                if cancel.is_set():
                    raise BuildCancelled("the build was cancelled", "`ccvm-tui image build` starts it again")
                if selector.select(_TICK):
                    chunk = os.read(stream.fileno(), 1 << 16)
                    if not chunk:
                        break
                    *lines, rest = (rest + chunk).replace(b"\r", b"\n").split(b"\n")
                    for line in lines:
                        self._line(line.decode(errors="replace"), on_line)
                if time.monotonic() - ticked > _TICK:
                    ticked = time.monotonic()
                    on_tick()
        self.check()

    def _line(self, line: str, on_line: Callable[[str], None]) -> None:
        if line.strip():
            self.tail.append(line.rstrip())
            on_line(line)

    def check(self) -> None:
        """Wait for the end; raises ImageError with the last lines when the status is not 0."""
        if status := self.process.wait():
            how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
            raise ImageError(f"{self.name} {how}:\n" + "\n".join(self.tail))
