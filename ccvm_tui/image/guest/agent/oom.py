"""The kernel's log, watched for programs that it killed because memory ran out."""

from __future__ import annotations

import os

_MARK = "Killed process "
_RECORD = 8192


def protect() -> None:
    """Exempt this process. What it starts for the user must give that up again, as the supervisor does."""
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("-1000")


def open_log() -> int:
    """A descriptor that becomes readable with each new message of the kernel."""
    log = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    os.lseek(log, 0, os.SEEK_END)
    return log


def killed(log: int) -> list[str]:
    """Sentences on the programs killed since the last call."""
    found: list[str] = []
    while True:
        try:
            record = os.read(log, _RECORD).decode(errors="replace")
        except BlockingIOError:
            return found
        except BrokenPipeError:  # records were overwritten before they were read: go on with the next
            continue
        if (sentence := parse(record)) is not None:
            found.append(sentence)


def parse(record: str) -> str | None:
    """``6,1041,77,-;Out of memory: Killed process 812 (node) total-vm:…`` → a sentence, else None."""
    _, _, message = record.partition(";")
    if "ut of memory" not in message or _MARK not in message:
        return None
    program = message.partition("(")[2].partition(")")[0]
    return f"the guest ran out of memory and ended {program or 'a program'}"
