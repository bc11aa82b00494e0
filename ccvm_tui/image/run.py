"""Programs that a build runs: monitored, cancellable, and never left running."""

from __future__ import annotations

import contextlib
import os
import re
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

# The kernel signals the guard when this process dies for any reason, and the guard terminates the whole process group.
# mmdebstrap's worker runs in another namespace and would not notice that mmdebstrap has exited.
_GUARD = """
trap 'trap "" TERM; kill -TERM 0; sleep 2; kill -KILL 0' TERM
exec 3<&0
"$@" <&3 3<&- &
wait $!
"""

_HINTS = (
    (
        re.compile(r"No space left on device|Disk quota exceeded|ENOSPC|EDQUOT"),
        "free some space, or set XDG_CACHE_HOME and TMPDIR to directories with more space",
    ),
    (
        re.compile(
            r"Temporary failure resolving|Could not (resolve|connect)|Unable to connect"
            r"|Connection (failed|refused|timed out)|Network is unreachable"
            r"|EAI_AGAIN|ENOTFOUND|ECONNREFUSED|ETIMEDOUT|ENETUNREACH"
        ),
        "check the network, and http_proxy and https_proxy if they are set, then repeat the command",
    ),
)


class BuildCancelled(ImageError):
    """The build was cancelled. Images published before are unchanged."""


class BuildProcess:
    """A program in its own process group. The exit of the context terminates the group.

    Without ``stdout``, standard output and standard error are both read by ``follow``; otherwise standard error only.
    The descriptors ``keep_open`` are inherited. ``tail`` contains the last lines of the program's output.
    """

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

    def __enter__(self) -> BuildProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.terminate()

    def terminate(self) -> None:
        """Send SIGTERM to the process group, after a grace period SIGKILL, and reap the program."""
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
        """Read the program's output until it exits. Pass each line to ``on_line``, and call ``on_tick`` regularly.

        Raises BuildCancelled soon after ``cancel`` is set, ImageError with the last lines if the program fails.
        """
        stream = self.process.stderr or self.process.stdout
        assert stream is not None
        rest = b""
        with selectors.DefaultSelector() as selector:
            selector.register(stream, selectors.EVENT_READ)
            ticked = 0.0
            while True:
                if cancel.is_set():
                    raise BuildCancelled("the build was cancelled", "`ccvm-tui image build` restarts it")
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
        """Wait for the program's exit. Raises ImageError with its last lines if the status is not 0."""
        if status := self.process.wait():
            result = f"was killed by signal {-status}" if status < 0 else f"exited with status {status}"
            raise ImageError(f"{self.name} {result}:\n" + "\n".join(self.tail), hint_for("\n".join(self.tail)))


def hint_for(output: str) -> str:
    """Return what to do about the failure of a program that has printed ``output``, or an empty string."""
    return next((hint for pattern, hint in _HINTS if pattern.search(output)), "")
