"""Exchange names in the project while other threads use them. Arguments: the race, the seconds, and a name outside."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import time
from collections.abc import Callable

EXCHANGE, AT_FDCWD = 2, -100
RACE, SECONDS, OUTSIDE = sys.argv[1], float(sys.argv[2]), sys.argv[3]
DEADLINE = time.monotonic() + SECONDS
counts: dict[str, int] = {}


def exchange(first: str, second: str) -> None:
    ctypes.CDLL(None).renameat2(AT_FDCWD, first.encode(), AT_FDCWD, second.encode(), EXCHANGE)


def repeat(name: str, action: Callable[[], object]) -> threading.Thread:
    """Repeat an action in a thread until the time is over, whether or not it fails."""

    def run() -> None:
        while time.monotonic() < DEADLINE:
            try:
                action()
                counts[name] = counts.get(name, 0) + 1
            except OSError:
                pass

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def put(path: str) -> None:
    with open(path, "w") as file:
        file.write("from the guest\n")


def directories() -> list[threading.Thread]:
    """A directory and a symbolic link to a directory outside change places."""
    os.mkdir("race")
    os.symlink(OUTSIDE, "race-link")
    return [
        repeat("exchanged", lambda: exchange("race", "race-link")),
        repeat("written", lambda: put("race/secret")),
        repeat("created", lambda: put(f"race/new-{time.monotonic_ns() % 50}")),
        repeat("removed", lambda: os.unlink("race/secret")),
        repeat("mode", lambda: os.chmod("race/secret", 0o777)),
    ]


def files() -> list[threading.Thread]:
    """A file and a symbolic link to a file outside change places."""
    put("race")
    os.symlink(f"{OUTSIDE}/secret", "race-link")
    return [
        repeat("exchanged", lambda: exchange("race", "race-link")),
        repeat("written", lambda: put("race")),
        repeat("truncated", lambda: os.truncate("race", 1)),
        repeat("mode", lambda: os.chmod("race", 0o666)),
        repeat("times", lambda: os.utime("race", (1, 1))),
    ]


def moves() -> list[threading.Thread]:
    """A directory in use is moved to other depths, and its parent is used through "..", from within."""
    os.makedirs("race/a/b/c")
    os.makedirs("race-link")
    inside = os.open("race/a/b/c", os.O_PATH)
    return [
        repeat("moved", lambda: os.rename("race/a/b", "race-link/b")),
        repeat("back", lambda: os.rename("race-link/b", "race/a/b")),
        repeat(
            "written", lambda: os.close(os.open("../../../../../outside/new", os.O_CREAT | os.O_WRONLY, dir_fd=inside))
        ),
        repeat("entered", lambda: os.close(os.open("../../..", os.O_RDONLY, dir_fd=inside))),
        repeat("linked", lambda: os.link("hello.txt", "../../../../linked", dst_dir_fd=inside)),
    ]


if __name__ == "__main__":
    threads = {function.__name__: function for function in (directories, files, moves)}[RACE]()
    for thread in threads:
        thread.join()
    os.system("rm -rf race race-link")
    print(counts)
