"""Coverage of every Python process that a test starts, directly or not: commands, keepers, confined processes.

A process is measured if its bytecode cache is in a directory that contains another one named ``coverage``, for the
results. That setting is the only one that the program passes on to all its processes, of which some inherit no other
variable. ``./dev test`` selects such a cache. At the start of each interpreter a ``.pth`` file of the environment
imports this module, which then starts to measure. See docs/developing.md for the processes that are not measured.

The tests start thousands of processes. Therefore a measured process loads only the tracer of coverage.py, which takes less
than a millisecond; the whole package and its data file take 100. This module is the only user of the tracer.

    python -m tests.process_coverage DIRECTORY     merge the results in DIRECTORY into DIRECTORY/data
"""

from __future__ import annotations

import atexit
import contextlib
import marshal
import os
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from importlib.machinery import PathFinder
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, Final

SOURCE: Final = Path(__file__).resolve().parents[1] / "ccvm_tui"
"""The directory of the measured code."""

_LINE, _FROM_NEGATIVE, _TO_NEGATIVE = (1 << 28) - 1, 1 << 56, 1 << 57
"""The parts of a jump, which the tracer stores as one number: two lines and their signs (``tracer.c``)."""


def _tracer() -> ModuleType:
    """Import ``coverage.tracer`` without its package."""
    package = find_spec("coverage")
    assert package
    spec = PathFinder.find_spec("coverage.tracer", package.submodule_search_locations)
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Measurement:
    """The jumps from line to line that are executed in this process, in all threads."""

    def __init__(self) -> None:
        self.jumps: dict[str, set[int]] = {}
        self._module = _tracer()
        self._verdicts: dict[str, Any] = {}
        self._tracers: list[Any] = []

    def start(self) -> None:
        """Start to measure, or go on after ``stop``."""
        threading.settrace(self._trace_thread)
        if self._tracers:
            self._tracers[0].start()
        else:
            self._start_tracer()

    def stop(self) -> None:
        threading.settrace(None)
        for tracer in self._tracers:
            tracer.stop()

    def _trace_thread(self, frame: FrameType, event: str, arg: object) -> Any:
        sys.settrace(None)
        return self._start_tracer()(frame, event, arg)

    def _start_tracer(self) -> Any:
        tracer = self._module.CTracer()
        tracer.data, tracer.trace_arcs = self.jumps, True
        tracer.should_trace, tracer.should_trace_cache = self._verdict, self._verdicts
        tracer.check_include = tracer.should_start_context = tracer.concur_id_func = None
        tracer.file_tracers = {}
        tracer.lock_data = tracer.unlock_data = lambda: None  # the interpreter's lock is sufficient
        tracer.warn = lambda *_, **__: None
        self._tracers.append(tracer)
        return tracer.start()

    def _verdict(self, file: str, _: FrameType) -> Any:
        verdict = self._module.CFileDisposition()
        verdict.original_filename = verdict.canonical_filename = verdict.source_filename = file
        verdict.trace = file.startswith(f"{SOURCE}/")
        verdict.reason, verdict.file_tracer, verdict.has_dynamic_filename = "", None, False
        return verdict


_measurement: Measurement | None = None
"""The measurement of this process, if it is measured."""


@contextlib.contextmanager
def paused() -> Iterator[None]:
    """Measure neither this process nor processes that are started in the meantime, which is 1.6 times as fast."""
    if _measurement is None:
        yield
        return
    prefix = os.environ["PYTHONPYCACHEPREFIX"]
    os.environ["PYTHONPYCACHEPREFIX"] = f"{prefix}/unmeasured"
    _measurement.stop()
    try:
        yield
    finally:
        _measurement.start()
        os.environ["PYTHONPYCACHEPREFIX"] = prefix


def start(directory: str) -> None:
    """Measure this process until it exits, and then write the result to a file in ``directory``.

    The file is opened now, because a process may confine itself later. A killed process leaves it empty.
    """
    pid = os.getpid()
    name = f"{directory}/{pid}-{time.monotonic_ns()}.jumps"
    try:
        result = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError:  # in a test that makes the disk unwritable
        return
    global _measurement
    _measurement = measurement = Measurement()
    measurement.start()

    def finish() -> None:
        if os.getpid() != pid:  # a forked process
            return
        measurement.stop()
        left = memoryview(zlib.compress(marshal.dumps(measurement.jumps), 1))
        while left:
            left = left[os.write(result, left) :]

    atexit.register(finish)


def merge(directory: Path) -> None:
    """Merge the results in ``directory`` into a data file of coverage.py. Files that were never imported count too."""
    from coverage import CoverageData

    merged: dict[str, set[int]] = {str(path): set() for path in SOURCE.rglob("*.py")}
    for part in directory.glob("*.jumps"):
        if content := part.read_bytes():
            for file, jumps in marshal.loads(zlib.decompress(content)).items():
                merged[file].update(jumps)
    data = CoverageData(str(directory / "data"))
    data.erase()
    data.add_arcs({file: {_unpack(jump) for jump in jumps} for file, jumps in merged.items()})
    data.touch_files(merged)


def _unpack(jump: int) -> tuple[int, int]:
    """Return the lines of a jump. Negative ones are the entry of a function and its exit."""
    start, end = jump & _LINE, jump >> 28 & _LINE
    return -start if jump & _FROM_NEGATIVE else start, -end if jump & _TO_NEGATIVE else end


if __name__ == "__main__":
    merge(Path(sys.argv[1]))
elif sys.pycache_prefix and os.path.isdir(f"{sys.pycache_prefix}/coverage"):
    start(f"{sys.pycache_prefix}/coverage")
