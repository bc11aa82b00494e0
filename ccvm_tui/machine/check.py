"""The result of a check of this host, and what ``setup`` can do about it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import shlex
from dataclasses import dataclass

from ccvm_tui.machine.status import Status
from ccvm_tui.requirements import Requirement, how_to_install

TIMEOUT = 10.0
"""Seconds that a program may take when run by a check."""


@dataclass(frozen=True, slots=True)
class Remedy:
    """The solution of a problem: packages to install, or a command that root runs, for ``setup``.

    ``afterwards`` is what the user must do then, or empty.
    """

    requirements: tuple[Requirement, ...] = ()
    command: tuple[str, ...] = ()
    afterwards: str = ""

    @property
    def text(self) -> str:
        """The instruction for the user: what to install, and the command to run."""
        parts = [how_to_install(*self.requirements)] if self.requirements else []
        if self.command:
            parts.append(f"`sudo {shlex.join(self.command)}`")
        return "; ".join(parts)


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check. ``fix`` explains how to solve the problem, and is empty if there is none.

    ``remedy`` is the part of the solution that ``setup`` can apply, if there is one.
    """

    name: str
    status: Status
    detail: str
    fix: str = ""
    remedy: Remedy | None = None


async def required(requirement: Requirement, otherwise: Status = Status.FAIL) -> Check:
    """Check that a requirement is met; ``otherwise`` is the status if not."""
    if (found := requirement.found()) is not None:
        return Check(requirement.name, Status.OK, found)
    remedy = Remedy((requirement,))
    return Check(requirement.name, otherwise, f"not installed; {requirement.purpose}", remedy.text, remedy)


async def output_of(*command: str) -> tuple[int, str]:
    """Return a program's exit status and combined output; the status is -1 if it cannot be run or takes too long."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
    except OSError as error:
        return -1, error.strerror or str(error)
    try:
        async with asyncio.timeout(TIMEOUT):
            output, _ = await process.communicate()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, 9)
        await process.wait()
        return -1, f"no answer within {TIMEOUT:.0f} s"
    return process.returncode or 0, output.decode("utf-8", "replace").strip()


def first_line(text: str) -> str:
    """Return the first line of ``text``."""
    return text.partition("\n")[0].strip()


def user_name() -> str:
    """Return the name of this process's user, or the uid if it has no name."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
