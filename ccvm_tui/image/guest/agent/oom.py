"""Detection of programs that the kernel killed for lack of memory, from the kernel's log."""

from __future__ import annotations

import os

_MARK = "Killed process "
_RECORD = 8192


def protect() -> None:
    """Exempt this process from the OOM killer. Children inherit the exemption, and programs of the user reset it."""
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("-1000")


def open_log() -> int:
    """Return a non-blocking descriptor for reading new messages of the kernel."""
    log = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    os.lseek(log, 0, os.SEEK_END)
    return log


def killed(log: int) -> list[str]:
    """Return a sentence for each program killed since the last call."""
    found: list[str] = []
    while True:
        try:
            record = os.read(log, _RECORD).decode(errors="replace")
        except BlockingIOError:
            return found
        except BrokenPipeError:  # records were overwritten before they were read
            continue
        if (sentence := parse(record)) is not None:
            found.append(sentence)


def parse(record: str) -> str | None:
    """Return a sentence about the killed program, or None for other records.

    The records have the form ``6,1041,77,-;Out of memory: Killed process 812 (node) total-vm:…``.
    """
    _, _, message = record.partition(";")
    if "ut of memory" not in message or _MARK not in message:
        return None
    program = message.partition("(")[2].partition(")")[0]
    return f"the guest ran out of memory and ended {program or 'a program'}"
