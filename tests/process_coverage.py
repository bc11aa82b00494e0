"""Coverage of every Python process that a test starts, directly or not: commands, keepers, confined processes.

A process is measured if its bytecode cache is in a directory that contains another one named ``coverage``, for the
results. That setting is the only one that the program passes on to all its processes, of which some inherit no other
variable. ``./dev test`` selects such a cache. At the start of each interpreter a ``.pth`` file of the environment
imports this module, which then starts to measure. See docs/developing.md for the processes that are not measured.

    python -m tests.process_coverage DIRECTORY     merge the results in DIRECTORY into DIRECTORY/data
"""

from __future__ import annotations

import atexit
import marshal
import os
import sys
import time
import zlib
from pathlib import Path
from typing import Final

import coverage

SOURCE: Final = Path(__file__).resolve().parents[1] / "ccvm_tui"
"""The directory of the measured code."""

Arcs = dict[str, set[tuple[int, int]]]
"""The jumps from line to line that were executed, by file."""


def start(directory: str) -> None:
    """Measure this process until it exits, and then write the result to a file in ``directory``.

    The file is opened now, because a process may confine itself later. A killed process leaves it empty.
    """
    pid = os.getpid()
    name = f"{directory}/{pid}-{time.monotonic_ns()}.arcs"
    try:
        result = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError:  # in a test that makes the disk unwritable
        return
    measurement = coverage.Coverage(
        data_file=None, config_file=False, branch=True, include=[f"{SOURCE}/*"], messages=False
    )
    measurement.start()

    def finish() -> None:
        if os.getpid() != pid:  # a forked process
            return
        measurement.stop()
        data = measurement.get_data()
        arcs = {file: data.arcs(file) for file in data.measured_files()}
        left = memoryview(zlib.compress(marshal.dumps(arcs), 1))
        while left:
            left = left[os.write(result, left) :]

    atexit.register(finish)


def merge(directory: Path) -> None:
    """Merge the results in ``directory`` into a data file of coverage.py. Files that were never imported count too."""
    merged: Arcs = {str(path): set() for path in SOURCE.rglob("*.py")}
    for part in directory.glob("*.arcs"):
        if content := part.read_bytes():
            for file, arcs in marshal.loads(zlib.decompress(content)).items():
                merged[file].update(arcs)
    data = coverage.CoverageData(str(directory / "data"))
    data.erase()
    data.add_arcs(merged)
    data.touch_files(merged)


if __name__ == "__main__":
    merge(Path(sys.argv[1]))
elif sys.pycache_prefix and os.path.isdir(f"{sys.pycache_prefix}/coverage"):
    start(f"{sys.pycache_prefix}/coverage")
