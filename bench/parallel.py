"""Measure guests that start and work at the same time, with one core and with two cores each.

./dev bench parallel                    as many guests as this machine has cores
python bench/parallel.py --guests 3
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil

COMMAND = [sys.executable, "-P", "-m", "ccvm_tui"]
WORK = """
cd "$(mktemp -d)" && git init -q .
for number in 1 2 3 4 5 6 7 8; do
    echo $number >file && git add file && git -c user.name=a -c user.email=b commit -qm $number
done
python3 -c 'import json, asyncio, ssl'
for number in $(seq 200); do echo $number >file$number; done
"""


def ccvm_tui(*args: str) -> str:
    """Run a command and return its output. Raises CalledProcessError if it fails."""
    return subprocess.run([*COMMAND, *args], check=True, capture_output=True, text=True).stdout


def start_and_work(project: Path, cores: int) -> None:
    """Boot a guest, run the work in it, and stop it."""
    project.mkdir()
    started = ccvm_tui("run", "--detach", "--shell", "--memory", "1024", "--cores", str(cores), str(project))
    guest = started.partition("/")[0]
    ccvm_tui("exec", guest, "--", "sh", "-ec", WORK)
    ccvm_tui("stop", "--force", guest)


def measure(root: Path, guests: int, cores: int) -> tuple[float, float]:
    """Return the seconds that ``guests`` at the same time take, and the processor time that this machine spends."""
    start, before = time.perf_counter(), psutil.cpu_times()
    with ThreadPoolExecutor() as threads:
        list(threads.map(lambda number: start_and_work(root / f"guest{number}", cores), range(guests)))
    took, after = time.perf_counter() - start, psutil.cpu_times()
    return took, (after.user - before.user) + (after.system - before.system)


def main() -> None:
    """Measure in a separate runtime directory, both numbers of cores in turns, and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--guests", type=int, default=os.cpu_count())
    options = parser.parse_args()
    figures: dict[int, list[tuple[float, float]]] = {1: [], 2: []}
    for _ in range(options.runs):
        for cores, values in figures.items():
            root = Path(tempfile.mkdtemp(prefix="ccvm-b"))
            os.environ.update(XDG_RUNTIME_DIR=str(root), XDG_STATE_HOME=str(root))
            try:
                values.append(measure(root, options.guests, cores))
            finally:
                shutil.rmtree(root, ignore_errors=True)
    print(f"{options.guests} guests on {os.cpu_count()} cores; medians of {options.runs}")
    for cores, values in figures.items():
        took, spent = (statistics.median(column) for column in zip(*values, strict=True))
        print(f"{cores} cores each: {took:6.1f} s, {spent:6.1f} s of processor time")


if __name__ == "__main__":
    main()
