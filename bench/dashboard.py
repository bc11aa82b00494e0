"""Measure the speed of the dashboard, and that of tmux for comparison: ``python -m bench.dashboard [NAME…]``.

The guests have no machine, but keepers, sessions and screen processes are real. All figures are from one run.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from bench.outer import Outer
from ccvm_tui.client import connection, listing, spawn
from ccvm_tui.guest import SessionKind, TermSize
from ccvm_tui.protocol import Info, LaunchSpec, SessionSpec

ROOT = Path(__file__).resolve().parents[1]
PYTHON = [sys.executable, "-P"]
LEADER = b"\x1c"
ANSWER = [*PYTHON, str(ROOT / "bench" / "answer.py")]
SIZE = (120, 40)
FLOOD_MB = 100
FLOODS = 4
"""The number of floods. During one flood, too few keys are typed for a 99th percentile."""


@contextlib.contextmanager
def place() -> Iterator[Path]:
    """Yield a directory with separate runtime and state directories, and stop all guests in them afterwards."""
    root = Path(tempfile.mkdtemp(prefix="ccvm-b"))
    for name in ("XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        path = root / name[4:7].lower()
        path.mkdir(mode=0o700)
        os.environ[name] = str(path)
    os.environ["PYTHONPATH"] = str(ROOT)
    os.environ["COLORTERM"] = "truecolor"
    os.environ["TERM"] = "xterm-256color"
    try:
        yield root
    finally:
        for name in listing.names():
            listing.stop_any(name, force=True)
        shutil.rmtree(root, ignore_errors=True)


def start(root: Path, name: str, *argv: str, sessions: int = 1) -> None:
    """Start a guest without a machine, with ``sessions`` sessions that run ``argv``."""
    project = root / name
    project.mkdir(exist_ok=True)
    size = TermSize(SIZE[0] - 33, SIZE[1] - 3)
    session = SessionSpec(SessionKind.COMMAND, argv, {"PS1": "$ "}, size=size)

    async def launch() -> None:
        await spawn.launch(LaunchSpec(name=name, project=str(project), session=session, linger=True))
        async with await connection.connect(name, events=True) as keeper:
            async for event in keeper.events():
                if isinstance(event, Info) and event.guest.sessions:
                    break
            for _ in range(sessions - 1):
                await keeper.start_session(session)

    asyncio.run(launch())


def dashboard(size: tuple[int, int] = SIZE) -> Outer:
    """Start the dashboard in a terminal of ``size``."""
    return Outer([*PYTHON, "-m", "tests.tui.program"], *size)


def in_tmux(argv: list[str], size: tuple[int, int] = SIZE) -> Outer:
    """Start ``argv`` in a separate tmux server, in a terminal of ``size``."""
    return Outer(["tmux", "-L", f"bench{os.getpid()}", "-f", "/dev/null", "new-session", *argv], *size)


def end_tmux() -> None:
    """Stop the server that ``in_tmux`` has started."""
    os.system(f"tmux -L bench{os.getpid()} kill-server 2>/dev/null")


def keys(outer: Outer, count: int, gap: float) -> list[float]:
    """Return the seconds from a key to its answer on the outer terminal, ``count`` times."""
    outer.type(b"x")
    outer.wait(b">", 10)
    outer.settle(0.3, 2)
    text = bytes(outer.received)
    number = int(text[text.rindex(b"<") + 1 :][:6])
    times = []
    for _ in range(count):
        number += 1
        outer.clear()
        outer.type(b"x")
        times.append(outer.wait(b"%06d" % number, 10))
        end = time.perf_counter() + gap * random.uniform(0.5, 1.5)
        while (left := end - time.perf_counter()) > 0:
            outer.pump(left)
    return times


def spread(times: list[float]) -> str:
    """Return three percentiles of ``times``, which are in seconds, as text."""
    ordered = sorted(times)
    at = [ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000 for share in (0.5, 0.9, 0.99)]
    return f"p50 {at[0]:.1f} ms, p90 {at[1]:.1f} ms, p99 {at[2]:.1f} ms"


def latency(root: Path) -> None:
    """Measure the time from a key to its answer in the dashboard and in tmux."""
    start(root, "keys", *ANSWER)
    outer = dashboard()
    outer.wait(b"keys", 20)
    outer.settle(0.7, 5)
    outer.type(LEADER + b"1")
    outer.wait(b"ready", 20)
    outer.settle(0.5, 3)
    dashboard_times = keys(outer, 300, 0.03)
    outer.close()
    listing.stop_any("keys", force=True)
    outer = in_tmux(ANSWER)
    outer.wait(b"ready", 10)
    tmux_times = keys(outer, 300, 0.03)
    outer.close()
    end_tmux()
    print(f"key to echo, dashboard     {spread(dashboard_times)}")
    print(f"key to echo, tmux          {spread(tmux_times)}")


def crowd(root: Path) -> None:
    """Measure the time until 20 guests are shown, and the processor time while they are idle."""
    for number in range(20):
        start(root, f"guest{number:02}", "/bin/cat")
    times = []
    for _ in range(5):
        outer = dashboard()
        outer.wait(b"20 running", 30)
        times.append(time.perf_counter() - outer.began)
        outer.type(b"q")
        outer.settle(0.5, 5)
        outer.close()
    print(f"first paint, 20 guests     {statistics.median(times):.2f} s until all are shown")
    _idle()
    for name in listing.names():
        listing.stop_any(name, force=True)


def _idle() -> None:
    outer = dashboard()
    outer.wait(b"20 running", 30)
    outer.settle(1.0, 10)
    program = _program(outer)
    keepers = [psutil.Process(info["keeper_pid"]) for info in listing.running()]
    before, keepers_before = program.cpu_times(), [keeper.cpu_times() for keeper in keepers]
    written = outer.written
    began = time.perf_counter()
    while time.perf_counter() - began < 30:
        outer.pump(1)
    took = time.perf_counter() - began
    after = program.cpu_times()
    used = (after.user + after.system - before.user - before.system) / took
    keepers_used = sum(k.cpu_times().user + k.cpu_times().system - b.user - b.system
                 for k, b in zip(keepers, keepers_before, strict=True)) / took  # fmt: skip
    print(f"idle, 20 quiet guests      {used:.2%} of a core, {(outer.written - written) / took:.0f} bytes/s drawn"
          f" (all 20 keepers: {keepers_used:.2%})")  # fmt: skip
    outer.close()


def flood(root: Path) -> None:
    """Measure two sessions side by side: one prints 100 MB while keys are typed in the other."""
    start(root, "answers", *ANSWER)
    trigger, result = root / "go", root / "took"
    flooding = [*PYTHON, str(ROOT / "bench" / "flood.py"), str(trigger), str(result), str(FLOOD_MB)]
    start(root, "floods", *flooding)
    outer = dashboard((200, 60))
    outer.wait(b"2 running", 20)
    outer.settle(0.7, 5)
    outer.type(LEADER + b"1")
    outer.wait(b"ready", 20)
    outer.type(LEADER + b"t")
    outer.wait(b"waiting", 20)
    outer.settle(0.5, 3)
    infos = {info["name"]: psutil.Process(info["keeper_pid"]) for info in listing.running()}
    watched = {"dashboard": _program(outer), "keeper": infos["floods"], "screen": infos["floods"].children()[0]}
    for process in infos["floods"].children():
        if "screen" in " ".join(process.cmdline()):
            watched["screen"] = process
    _flooded("dashboard", outer, trigger, result, watched)
    outer.close()
    for name in ("answers", "floods"):
        listing.stop_any(name, force=True)
    outer = in_tmux([*ANSWER, ";", "split-window", "-h", "-d", *flooding], (200, 60))
    outer.wait(b"waiting", 10)
    outer.settle(0.5, 3)
    server = next(p for p in psutil.process_iter(["cmdline"]) if f"bench{os.getpid()}" in (p.info["cmdline"] or [])
                  and p.ppid() == 1)  # fmt: skip
    _flooded("tmux", outer, trigger, result, {"server": server})
    outer.close()
    end_tmux()


def _flooded(name: str, outer: Outer, trigger: Path, result: Path, watched: dict[str, psutil.Process]) -> None:
    before = {what: process.cpu_times() for what, process in watched.items()}
    written = outer.written
    times: list[float] = []
    floods: list[float] = []
    wall = 0.0
    for _ in range(FLOODS):
        trigger.touch()
        began = time.perf_counter()
        while not result.exists() and time.perf_counter() - began < 120:
            times += keys_quick(outer, 10)
        wall += time.perf_counter() - began
        floods.append(float(result.read_text()))
        result.unlink()
    took = statistics.median(floods)
    used = []
    for what, process in watched.items():
        now, old = process.cpu_times(), before[what]
        used.append(f"{what} {(now.user + now.system - old.user - old.system) / wall:.0%}")
    print(f"flood of {FLOOD_MB} MB, {name:<10} {took:.1f} s; keys meanwhile {spread(times)} ({len(times)});"
          f" processor: {', '.join(used)}; drawn {(outer.written - written) // FLOODS >> 10} KiB")  # fmt: skip


def keys_quick(outer: Outer, count: int) -> list[float]:
    """Measure like ``keys`` while other output is drawn. The current number is read from the first answer."""
    times = []
    outer.clear()
    outer.type(b"x")
    outer.wait(b">", 20)
    found = bytes(outer.received)
    at = found.rindex(b"<0")
    number = int(found[at + 1 : at + 7])
    for _ in range(count):
        number += 1
        outer.clear()
        outer.type(b"x")
        times.append(outer.wait(b"%06d" % number, 20))
        end = time.perf_counter() + random.uniform(0.01, 0.04)
        while (left := end - time.perf_counter()) > 0:
            outer.pump(left)
    return times


def memory(root: Path) -> None:
    """Measure the memory for ten sessions with 10,000 lines each in one guest, after each was shown once."""
    script = "seq -f 'line %06.0f of the scrollback, with some words after it' 1 10050; cat"
    start(root, "lines", "/bin/sh", "-c", script, sessions=10)
    outer = dashboard()
    outer.wait(b"10 sessions", 30)
    outer.settle(0.7, 5)
    program = _program(outer)
    alone = program.memory_info().rss
    for _ in range(12):
        outer.type(LEADER + b"n")
        outer.settle(0.3, 2)
    keeper = psutil.Process(next(info["keeper_pid"] for info in listing.running() if info["name"] == "lines"))
    screen = next(p for p in keeper.children() if "ccvm_tui.screen" in " ".join(p.cmdline()))
    sizes = [process.memory_info().rss >> 20 for process in (program, keeper, screen)]
    print(f"memory, 10×10,000 lines    dashboard {sizes[0]} MiB ({alone >> 20} before any was shown),"
          f" keeper {sizes[1]} MiB, screen process {sizes[2]} MiB")  # fmt: skip
    outer.close()
    listing.stop_any("lines", force=True)


def redraw(_: Path) -> None:
    """Measure full redraws at 200×60 in this process: decoding frames, converting them to strips, rendering."""
    from bench.redraw import measure

    for what, milliseconds, size in measure():
        print(f"full redraw 200×60, {what:<7} {milliseconds:.1f} ms a frame, {size} bytes to the terminal")


def _program(outer: Outer) -> psutil.Process:
    """Return the Python process that setsid has started."""
    process = psutil.Process(outer.process.pid)
    while process.name().startswith("setsid") and process.children():
        process = process.children()[0]
    return process


def main() -> int:
    """Run the benchmarks named in the arguments, or all of them."""
    wanted = sys.argv[1:] or list(MEASURES)
    with place() as root:
        for name in wanted:
            MEASURES[name](root)
    return 0


MEASURES = {
    "latency": latency,
    "flood": flood,
    "memory": memory,
    "redraw": redraw,
    "crowd": crowd,
}


if __name__ == "__main__":
    sys.exit(main())
