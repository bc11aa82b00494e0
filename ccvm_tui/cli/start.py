"""Start a session and stay with it: what ``ccvm-tui run`` and ``ccvm`` have in common."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ccvm_tui import claim, paths
from ccvm_tui.cli import foreground, piped, plan
from ccvm_tui.cli.boot import Boot
from ccvm_tui.cli.bootline import BootLine
from ccvm_tui.cli.raw import How
from ccvm_tui.cli.tty import has_terminal, require_terminal
from ccvm_tui.client import listing
from ccvm_tui.config import Settings
from ccvm_tui.errors import UserError
from ccvm_tui.guest import SessionKind
from ccvm_tui.paths import GuestPaths
from ccvm_tui.project import Project
from ccvm_tui.project.history import History
from ccvm_tui.protocol import LaunchSpec, SessionSpec
from ccvm_tui.text import console_line

DESTROYED_WITHIN = 20.0


@dataclass(frozen=True, slots=True)
class Job:
    """A session to start, and what to do with it.

    With ``destroy`` the guest is gone when this ends, unless the user detached or another session needs it.
    With ``debug`` the guest's console is shown while it boots, and kept in a file.
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


def carry_out(job: Job) -> int:
    """Returns the exit status: the program's, or 0 after detaching. Raises UserError.

    Without a terminal a shell makes no sense; agents and commands run with our standard streams as they are.
    """
    in_pipes = not job.detach and not has_terminal()
    if in_pipes and job.kind is SessionKind.SHELL:
        require_terminal()
    return asyncio.run(_piped(job) if in_pipes else _carry_out(job))


async def _carry_out(job: Job) -> int:
    spec = plan.session_spec(job.kind, job.argv, job.settings, os.environ, name=job.label, detached=job.detach)
    booted = await _booted(job, spec)
    if isinstance(booted, Signalled):
        return booted.status
    session = booted.session
    if job.detach:
        print(f"{job.guest}/{session}")
        return 0
    outcome = await foreground.foreground(job.guest, session, job.settings)
    if job.destroy and outcome.how is How.EXITED:
        await _until_gone(job.guest)
    return foreground.conclude(job.guest, session, outcome)


async def _piped(job: Job) -> int:
    """No terminal: the program runs in pipes. A guest that was started for it goes with it, unless it got sessions."""
    from ccvm_tui.image import AGENT_LINK

    argv = (AGENT_LINK, *job.argv) if job.kind is SessionKind.AGENT else job.argv
    env = plan.session_spec(job.kind, argv, job.settings, os.environ).env
    booted = await _booted(job, None)
    if isinstance(booted, Signalled):
        return booted.status
    try:
        return await piped.execute(job.guest, argv, env)
    finally:
        if booted.started and not job.settings.linger:
            await asyncio.to_thread(_stop_if_unused, job.guest)


async def _booted(job: Job, session: SessionSpec | None) -> Booted | Signalled:
    """The guest runs, and the session in it. Raises UserError."""
    spec = plan.launch_spec(job.project, job.guest, job.settings, os.environ)

    def prepare(spec: LaunchSpec, line: BootLine, give_up: threading.Event) -> LaunchSpec:
        from ccvm_tui.cli import images

        wanted = job.kind is SessionKind.AGENT
        return images.with_image(spec, job.settings, line, give_up, agent_wanted=wanted)

    with _console(job) as console:
        result = await _interruptible(Boot(spec, session, prepare, console))
    with contextlib.suppress(OSError):  # history is a convenience
        History().remember(str(job.project.path), job.guest)
    return result


def _stop_if_unused(guest: str) -> None:
    with contextlib.suppress(UserError):
        if not listing.ask_once(guest).get("sessions"):
            listing.stop_any(guest)


@contextlib.contextmanager
def _console(job: Job) -> Iterator[Callable[[str], None] | None]:
    """Where the console goes while the guest boots."""
    if not job.debug:
        yield None
        return
    file = paths.state_dir() / "last" / f"{job.guest}.console.log"
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    print(f"ccvm: the console is kept in {file}", file=sys.stderr)
    with file.open("w", encoding="utf-8") as kept:

        def show(text: str) -> None:
            kept.write(text)
            kept.flush()
            print("\n".join(map(console_line, text.split("\n"))), end="", file=sys.stderr, flush=True)

        yield show


@dataclass(frozen=True, slots=True)
class Booted:
    """``session`` is empty if none was wanted; ``started`` says that the guest was started for it."""

    session: str
    started: bool


@dataclass(frozen=True, slots=True)
class Signalled:
    """A signal ended the boot; what was started is gone already."""

    number: int

    @property
    def status(self) -> int:
        return 128 + self.number


async def _interruptible(boot: Boot) -> Booted | Signalled:
    """Run ``boot``. Signals that would end us let it clean up first; Ctrl+C is SIGINT, status 130."""
    loop = asyncio.get_running_loop()
    booting = asyncio.ensure_future(boot.run())
    numbers: list[int] = []

    def interrupt(number: int) -> None:
        numbers.append(number)
        booting.cancel()

    handled = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
    for number in handled:
        loop.add_signal_handler(number, interrupt, number)
    try:
        return Booted(await booting, boot.started)
    except asyncio.CancelledError:
        if not numbers:
            raise
        return Signalled(numbers[0])
    finally:
        for number in handled:
            loop.remove_signal_handler(number)


async def _until_gone(guest: str) -> None:
    """Wait for the end that the keeper brings about after the last session; not if there are other sessions."""
    paths = GuestPaths(guest)
    deadline = time.monotonic() + DESTROYED_WITHIN
    while claim.alive(paths.lock) and time.monotonic() < deadline:
        with contextlib.suppress(UserError):
            if any(one.get("exit_status") is None for one in listing.ask_once(guest).get("sessions", [])):
                return
        await asyncio.sleep(0.05)
