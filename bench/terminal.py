"""Measure the speed of the screen process: megabytes per second through the link, and the cost of a frame.

    python bench/terminal.py [--json] [--seconds N]

Throughput is measured through a real, confined process with a view that acknowledges every frame. The cost of frames
is measured in this process: reading rows from the emulator and encoding them. The figures are medians of one run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial

from ccvm_tui.guest import TermSize
from ccvm_tui.screen.link import ScreenLink
from ccvm_tui.terminal.cells import encode_frame
from ccvm_tui.terminal.emulator import Emulator
from ccvm_tui.terminal.restore import restore_bytes

CHUNK = 64 * 1024
SIZES = (TermSize(80, 24), TermSize(200, 60))


def _chunk(make: Callable[[random.Random], bytes]) -> bytes:
    chance = random.Random(1)
    data = bytearray()
    while len(data) < CHUNK:
        data += make(chance)
    return bytes(data[:CHUNK])


def _ascii(chance: random.Random) -> bytes:
    return bytes(chance.choices(b"abcdefghijklmnopqrstuvwxyz      0123456789", k=chance.randrange(20, 78))) + b"\r\n"


def _sgr(chance: random.Random) -> bytes:
    words = (b"\x1b[38;5;%dm%s\x1b[0m " % (chance.randrange(256), b"w" * chance.randrange(3, 9)) for _ in range(8))
    return b"".join(words) + b"\r\n"


def _unicode(chance: random.Random) -> bytes:
    return "".join(chance.choices("漢字かな한글éüñ🙂─│┌┐ abc", k=30)).encode() + b"\r\n"


def _redraw(chance: random.Random) -> bytes:
    rows = (b"\x1b[%d;1H\x1b[%dm%s\x1b[K" % (y, 31 + y % 6, b"x" * chance.randrange(10, 70)) for y in range(1, 25))
    return b"\x1b[?2026h" + b"".join(rows) + b"\x1b[?2026l"


STREAMS = {"ASCII": _ascii, "SGR": _sgr, "Unicode": _unicode, "redraw": _redraw}


async def throughput(seconds: float) -> dict[str, float]:
    """Return the MB/s through the link by kind of output, with one view that acknowledges immediately."""
    results: dict[str, float] = {}
    link = ScreenLink()

    def acknowledge(view: str, _: bytes) -> None:
        link.ack_view(view)

    await link.start()
    try:
        for name, make in STREAMS.items():
            data = _chunk(make)
            link.open(name, SIZES[0])
            link.open_view(name, f"view {name}", partial(acknowledge, f"view {name}"))
            link.feed(name, data * 20)
            await link.sync()
            started = time.perf_counter()
            fed = 0
            while time.perf_counter() - started < seconds:
                link.feed(name, data)
                fed += len(data)
                await link.drain()
            await link.sync()
            results[name] = fed / 1e6 / (time.perf_counter() - started)
            link.close_session(name)
    finally:
        await link.close()
    return results


async def echo(count: int) -> dict[str, float]:
    """Return the milliseconds from feeding a key's echo to its frame, after idle time: median and 99th percentile."""
    link = ScreenLink()
    await link.start()
    try:
        link.open("s", SIZES[1])
        received = asyncio.Event()

        def on_frame(_: bytes) -> None:
            received.set()
            link.ack_view("v")

        link.open_view("s", "v", on_frame)
        await received.wait()
        times = []
        for number in range(count):
            await asyncio.sleep(0.03)
            received.clear()
            started = time.perf_counter()
            link.feed("s", b"\x1b[%d;%dHx" % (number % 50 + 1, number % 150 + 1))
            await received.wait()
            times.append((time.perf_counter() - started) * 1e3)
    finally:
        await link.close()
    times.sort()
    return {"p50": statistics.median(times), "p99": times[int(len(times) * 0.99)]}


def _code(size: TermSize, chance: random.Random) -> bytes:
    width = size.cols - 1
    lines = []
    for _ in range(size.rows):
        line, used = b"", 0
        while used < width - 9:
            length = chance.randrange(3, 9)
            line += b"\x1b[38;5;%dm%s " % (chance.randrange(8) + 100, b"w" * length)
            used += length + 1
        lines.append(line)
    return b"\x1b[0m\x1b[2J\x1b[H" + b"\r\n".join(lines)


def _dense(size: TermSize, chance: random.Random) -> bytes:
    pair = b"\x1b[38;2;%d;%d;9mxy"
    line = (pair % (chance.randrange(4) * 60, chance.randrange(4) * 60) for _ in range(size.rows * (size.cols // 2)))
    return b"\x1b[0m\x1b[2J\x1b[H" + b"".join(line)


def frames(rounds: int) -> dict[str, dict[str, float]]:
    """Return the milliseconds for a full frame and for a frame with a single changed row, including encoding."""
    results = {}
    for size in SIZES:
        for name, make in (("code", _code), ("colour every 2 cells", _dense)):
            emulator = Emulator(size)
            chance = random.Random(1)
            full, single, length = [], [], 0
            for _ in range(rounds):
                emulator.feed(make(size, chance))
                started = time.perf_counter()
                length = len(encode_frame(emulator.frame("s", 1, emulator.refresh())))
                full.append((time.perf_counter() - started) * 1e3)
                emulator.feed(b"\x1b[5;5Hz")
                started = time.perf_counter()
                encode_frame(emulator.frame("s", 1, emulator.refresh()))
                single.append((time.perf_counter() - started) * 1e3)
            results[f"{size.cols}x{size.rows} {name}"] = {
                "full_ms": statistics.median(full),
                "row_ms": statistics.median(single),
                "bytes": float(length),
            }
            emulator.close()
    return results


def states(rounds: int) -> dict[str, float]:
    """Return the milliseconds for a checkpoint and for the restore bytes of a session with 10,000 coloured lines."""
    emulator = Emulator(SIZES[0])
    emulator.feed(_chunk(_sgr) * 30)
    snapshot, restore = [], []
    for _ in range(rounds):
        started = time.perf_counter()
        emulator.snapshot()
        snapshot.append((time.perf_counter() - started) * 1e3)
        started = time.perf_counter()
        restore_bytes(emulator, 10_000)
        restore.append((time.perf_counter() - started) * 1e3)
    return {
        "lines": emulator.history,
        "snapshot_ms": statistics.median(snapshot),
        "restore_ms": statistics.median(restore),
    }


def main() -> int:
    """Run the measurements and print the results."""
    parser = argparse.ArgumentParser(description="Speed of the screen process.")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--seconds", type=float, default=2.0, help="seconds for each kind of output")
    arguments = parser.parse_args()
    speeds = asyncio.run(throughput(arguments.seconds))
    delays = asyncio.run(echo(100))
    costs = frames(20)
    state = states(10)
    if arguments.json:
        results = {"throughput_mb_s": speeds, "echo_ms": delays, "frames": costs, "states": state}
        json.dump(results, sys.stdout, indent=2)
        print()
        return 0
    print("MB/s      " + "".join(f"{name:>10}" for name in speeds))
    print("          " + "".join(f"{value:10.0f}" for value in speeds.values()))
    print(f"\necho to frame, ms: p50 {delays['p50']:.2f}, p99 {delays['p99']:.2f}")
    print(f"\n{'frame':<28}{'full ms':>10}{'one row ms':>12}{'bytes':>9}")
    for name, cost in costs.items():
        print(f"{name:<28}{cost['full_ms']:10.2f}{cost['row_ms']:12.3f}{cost['bytes']:9.0f}")
    print(
        f"\n{state['lines']} lines of scrollback: snapshot {state['snapshot_ms']:.1f} ms,"
        f" restore bytes {state['restore_ms']:.1f} ms"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
