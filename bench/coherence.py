"""Measure how soon a change on one side is visible on the other: in open files, by name, and as inotify events.

    ./dev bench coherence

The benchmark uses one guest and makes ``ROUNDS`` round trips of each kind. A round trip is a change on the host that a
program in the guest sees, followed by a change in the guest that the host sees. Times are in ms: median and slowest.
"""

from __future__ import annotations

import contextlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

ROUNDS = 50
COMMAND = (sys.executable, "-P", "-m", "ccvm_tui")

INSIDE = """
import ctypes, os, sys
kind = sys.argv[1]
libc = ctypes.CDLL(None)
watch = libc.inotify_init()
libc.inotify_add_watch(watch, b"there", 0x3CE)
held = open("there/held", "rb")
def answer(number):
    with open("back/new", "w") as file: file.write(number)
    os.rename("back/new", "back/answer")
print("ready", flush=True)
last = ""
while last != "end":
    if kind == "held":
        held.seek(0); now = held.read().decode().strip()
    elif kind == "name":
        try:
            now = open("there/renamed").read().strip()
        except FileNotFoundError:
            now = last
    else:
        os.read(watch, 65536)
        now = open("there/held").read().strip()
    if now != last and now:
        last = now
        answer(last)
"""


@contextlib.contextmanager
def guest(project: Path) -> Iterator[str]:
    """Run a guest for ``project`` and yield its name."""
    args = [*COMMAND, "run", "--detach", "--shell", "--linger", "--memory", "1024", str(project)]
    name = subprocess.run(args, check=True, capture_output=True, text=True).stdout.strip().partition("/")[0]
    try:
        yield name
    finally:
        subprocess.run([*COMMAND, "stop", "--yes", name], check=False, capture_output=True)


def in_place(project: Path, text: str) -> None:
    """Overwrite a file that the guest holds open."""
    (project / "there" / "held").write_text(text)


def replaced(project: Path, text: str) -> None:
    """Replace a file by renaming a new one over it."""
    (project / "there" / "new").write_text(text)
    (project / "there" / "new").rename(project / "there" / "renamed")


def round_trip(project: Path, change: Callable[[Path, str], None], text: str) -> float:
    """Make one change and return the milliseconds until the guest's answer is visible on the host."""
    started = time.perf_counter()
    change(project, text)
    answer = project / "back" / "answer"
    while True:
        with contextlib.suppress(FileNotFoundError):
            if answer.read_text() == text:
                return (time.perf_counter() - started) * 1000
        time.sleep(0.0002)


def main() -> None:
    """Measure the three kinds of round trips in one guest, and print the results."""
    with tempfile.TemporaryDirectory(prefix="ccvm-bench-") as directory:
        project = Path(directory)
        (project / "there").mkdir()
        (project / "back").mkdir()
        (project / "there" / "held").write_text("0")
        with guest(project) as name:
            for kind, change in (("held", in_place), ("name", replaced), ("inotify", in_place)):
                args = [*COMMAND, "exec", name, "--", "python3", "-c", INSIDE, kind]
                with subprocess.Popen(args, stdout=subprocess.PIPE, text=True) as program:
                    assert program.stdout is not None
                    program.stdout.readline()
                    times = [round_trip(project, change, str(number)) for number in range(1, ROUNDS + 1)]
                    change(project, "end")
                print(f"{kind:8} median {statistics.median(times):6.1f}   slowest {max(times):6.1f}", flush=True)


if __name__ == "__main__":
    main()
