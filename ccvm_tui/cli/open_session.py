"""Opening a session, for ``ccvm-tui run`` and ``ccvm``: the guest is started if necessary, and the session attached."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from ccvm_tui import claim, paths
from ccvm_tui.attempt.spec import AttemptSpec
from ccvm_tui.boot.specs import launch_spec, session_spec
from ccvm_tui.boot.start import ConsoleOutput, Ready, Request, start
from ccvm_tui.cli.attach import Ending, attach, report_outcome
from ccvm_tui.cli.boot_line import BootLine
from ccvm_tui.cli.kept_attempt import report_kept
from ccvm_tui.cli.standard_streams import execute
from ccvm_tui.cli.tty import has_terminal, require_terminal, size
from ccvm_tui.client import listing
from ccvm_tui.config import Settings
from ccvm_tui.errors import UserError
from ccvm_tui.guest import SessionKind
from ccvm_tui.paths import GuestPaths
from ccvm_tui.project import Project
from ccvm_tui.project.history import History
from ccvm_tui.protocol import SessionSpec
from ccvm_tui.text import console_line

STOPPED_WITHIN = 20.0
"""Seconds to wait for the end of a guest whose last session has ended."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class NewSession:
    """A session to open.

    ``attempt`` are the parameters of an attempt, None for a session in the project's own guest. ``ssh_agent`` is the
    socket of the user's SSH agent if the session may use it.
    With ``detach`` the session is started, but not attached. With ``destroy``, ``open_session`` returns only after the
    guest has stopped, unless the user has detached or the guest has other sessions. With ``debug`` the guest's console
    is shown while it boots, and stored in a file.
    """

    project: Project
    guest: str
    settings: Settings
    kind: SessionKind
    argv: tuple[str, ...] = ()
    label: str = ""
    detach: bool = False
    destroy: bool = False
    debug: bool = False
    attempt: AttemptSpec | None = None
    ssh_agent: str = ""


def open_session(wanted: NewSession) -> int:
    """Open a session and return the exit status: the program's, or 0 after detaching.

    Without a terminal, agents and commands use the standard streams of this process. Raises UserError if the session
    cannot be opened, or if a shell or the SSH agent is requested without a terminal.
    """
    in_pipes = not wanted.detach and not has_terminal()
    if in_pipes and (wanted.kind is SessionKind.SHELL or wanted.ssh_agent):
        require_terminal()
    try:
        return asyncio.run(_run_in_pipes(wanted) if in_pipes else _run_on_terminal(wanted))
    except _Signalled as signalled:
        return 128 + signalled.number


async def _run_on_terminal(wanted: NewSession) -> int:
    spec = session_spec(
        wanted.kind,
        wanted.argv,
        wanted.settings,
        os.environ,
        size(),
        name=wanted.label,
        detached=wanted.detach,
        ssh_agent=wanted.ssh_agent,
    )
    session = (await _start(wanted, spec)).session
    if wanted.detach:
        print(f"{wanted.guest}/{session}")
        return 0
    outcome = await attach(wanted.guest, session, wanted.settings)
    if wanted.attempt is not None and outcome.ending is Ending.EXITED and not wanted.settings.linger:
        await report_kept(wanted.guest)
    if wanted.destroy and outcome.ending is Ending.EXITED:
        await _wait_for_end(wanted.guest)
    return report_outcome(wanted.guest, session, outcome)


async def _run_in_pipes(wanted: NewSession) -> int:
    """Run the program without a terminal. A guest that was started for it is stopped, unless it has got sessions."""
    from ccvm_tui.image import AGENT_LINK

    argv = (AGENT_LINK, *wanted.argv) if wanted.kind is SessionKind.AGENT else wanted.argv
    env = session_spec(wanted.kind, argv, wanted.settings, os.environ, size()).env
    ready = await _start(wanted, None)
    try:
        return await execute(wanted.guest, argv, env)
    finally:
        kept = wanted.attempt is not None and await report_kept(wanted.guest)
        if ready.started and not wanted.settings.linger and not kept:
            await asyncio.to_thread(_stop_if_unused, wanted.guest)


async def _start(wanted: NewSession, session: SessionSpec | None) -> Ready:
    """Start the guest and the session. Raises UserError if that fails, _Signalled if a signal interrupts it."""
    spec = launch_spec(wanted.project, wanted.guest, wanted.settings, os.environ, wanted.attempt)
    request = Request(spec, wanted.settings, session, agent_wanted=wanted.kind is SessionKind.AGENT)
    with _console(wanted) as console:
        ready = await _interruptible(_show_start(request, console))
    with contextlib.suppress(OSError):  # the history is a convenience
        History().remember(str(wanted.project.path), wanted.guest if wanted.attempt is None else wanted.project.name)
    return ready


async def _show_start(request: Request, console: Callable[[str], None] | None) -> Ready:
    ready = None
    async with BootLine(request.spec.name) as line, start(request) as events:
        async for event in events:
            if isinstance(event, ConsoleOutput):
                if console is not None:
                    console(event.text)
            else:
                line.show(event)
                ready = event if isinstance(event, Ready) else None
    assert ready is not None
    return ready


def _stop_if_unused(guest: str) -> None:
    with contextlib.suppress(UserError):
        if not listing.ask_once(guest).get("sessions"):
            listing.stop_any(guest)


@contextlib.contextmanager
def _console(wanted: NewSession) -> Iterator[Callable[[str], None] | None]:
    """Yield a function that shows and stores the guest's console, or None."""
    if not wanted.debug:
        yield None
        return
    path = paths.state_dir() / "last" / f"{wanted.guest}.console.log"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    print(f"ccvm: the console's output is stored in {path}", file=sys.stderr)
    with path.open("w", encoding="utf-8") as file:

        def show(text: str) -> None:
            file.write(text)
            file.flush()
            print("\n".join(map(console_line, text.split("\n"))), end="", file=sys.stderr, flush=True)

        yield show


class _Signalled(Exception):
    """A signal has interrupted the start, and everything that it had started has been stopped."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


async def _interruptible(work: Coroutine[Any, Any, T]) -> T:
    """Run ``work``, and cancel it when a signal arrives that would end this process. Raises _Signalled then."""
    loop = asyncio.get_running_loop()
    working = asyncio.ensure_future(work)
    numbers: list[int] = []

    def interrupt(number: int) -> None:
        numbers.append(number)
        working.cancel()

    handled = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
    for number in handled:
        loop.add_signal_handler(number, interrupt, number)
    try:
        return await working
    except asyncio.CancelledError:
        if not numbers:
            raise
        raise _Signalled(numbers[0]) from None
    finally:
        for number in handled:
            loop.remove_signal_handler(number)


async def _wait_for_end(guest: str) -> None:
    """Wait until the keeper has stopped the guest after its last session, unless the guest has other sessions."""
    lock = GuestPaths(guest).lock
    deadline = time.monotonic() + STOPPED_WITHIN
    while claim.alive(lock) and time.monotonic() < deadline:
        with contextlib.suppress(UserError):
            sessions = (await asyncio.to_thread(listing.ask_once, guest)).get("sessions", [])
            if any(session.get("exit_status") is None for session in sessions):
                return
        await asyncio.sleep(0.05)
