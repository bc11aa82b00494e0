"""Measure image build, boot, attach, ls and memory with real guests and real commands.

./dev bench guest            medians of five
python bench/guest.py --runs 3 --build --json out.json
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil

from ccvm_tui.client import connection, listing
from ccvm_tui.guest import TermSize
from ccvm_tui.protocol import Input, Output

COMMAND = [sys.executable, "-P", "-m", "ccvm_tui"]
PROMPT = b"\xe2\x9d\xaf"
"""The last character of the guest's prompt."""


def timed(function: Callable[[], object]) -> float:
    """Return the seconds that ``function`` takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def ccvm_tui(*args: str) -> str:
    """Run a command and return its output. Raises CalledProcessError if it fails."""
    return subprocess.run([*COMMAND, *args], check=True, capture_output=True, text=True).stdout.strip()


async def boot(project: Path) -> dict[str, float]:
    """Measure a cold boot from the command to the guest's name, and to a prompt that accepts keys."""
    start = time.perf_counter()
    name = (
        await asyncio.to_thread(ccvm_tui, "run", "--detach", "--shell", "--memory", "1024", str(project))
    ).partition("/")[0]
    ready = time.perf_counter() - start
    async with await connection.attach(name, "s1", TermSize(80, 24)) as stream:
        stream.send(Input(b"echo pro''mpt\r"))
        received = b""
        while b"prompt" not in received:  # the echo of the command contains quotes
            message = await stream.receive()
            assert isinstance(message, Output)
            received += message.data
    prompt = time.perf_counter() - start
    info = listing.ask_once(name)
    phases = {f"phase: {phase['name']}": phase["ended"] - phase["started"] for phase in info["phases"]}
    return {"cold boot to ready": ready, "cold boot to prompt": prompt, **phases}


COMMITS = """
cd "$(mktemp -d)" && git init -q .
for number in 1 2 3 4 5 6 7 8; do
    echo $number >file && git add file && git -c user.name=a -c user.email=b commit -qm $number
done
"""


async def attach_to_first_paint(name: str) -> float:
    """Return the seconds from connecting to the first output, without a command's start."""
    start = time.perf_counter()
    async with await connection.attach(name, "s1", TermSize(80, 24)) as stream:
        while not isinstance(await stream.receive(), Output):
            pass
        return time.perf_counter() - start


def attach_command(name: str) -> float:
    """Measure the whole command in a pty until it has drawn the prompt."""
    import pty

    start = time.perf_counter()
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "attach", name], stdin=slave, stdout=slave, stderr=slave, start_new_session=True
    )
    os.close(slave)
    received = b""
    while PROMPT not in received and b"prompt" not in received:
        received += os.read(master, 65536)
    took = time.perf_counter() - start
    os.write(master, b"\x1cd")
    try:
        while os.read(master, 65536):
            pass
    except OSError:
        pass
    process.wait()
    os.close(master)
    return took


def memory(name: str) -> dict[str, float]:
    """Return proportional set sizes in MB, in which shared pages are divided among the processes that share them."""
    info = listing.ask_once(name)
    keeper = psutil.Process(info["keeper_pid"])
    sizes = {"keeper MB": keeper.memory_full_info().pss / 1e6}
    for child in keeper.children():
        argv = " ".join(child.cmdline())
        if "ccvm_tui.screen" in argv:
            sizes["screen MB"] = child.memory_full_info().pss / 1e6
        elif "qemu" in argv:
            sizes["QEMU MB"] = child.memory_full_info().pss / 1e6
    return sizes


async def measure(runs: int) -> dict[str, list[float]]:
    """Return all figures, with one value for each of the ``runs`` boots."""
    figures: dict[str, list[float]] = {}

    def note(name: str, value: float) -> None:
        figures.setdefault(name, []).append(value)

    for _ in range(runs):
        with tempfile.TemporaryDirectory() as directory:
            project = Path(directory) / "bench"
            project.mkdir()
            plain = await boot(project)
            for name, value in plain.items():
                note(name, value)
            guest = listing.names()[0]
            commits = partial(ccvm_tui, "exec", guest, "--", "sh", "-ec", COMMITS)
            for _ in range(3):
                note("attach to first paint (protocol)", await attach_to_first_paint(guest))
                note("attach to first paint (command)", await asyncio.to_thread(attach_command, guest))
                note("eight commits in the guest", await asyncio.to_thread(timed, commits))
                note("ls", await asyncio.to_thread(timed, lambda: ccvm_tui("ls")))
            for name, value in memory(guest).items():
                note(name, value)
            note("stop", await asyncio.to_thread(timed, partial(ccvm_tui, "stop", "--force", guest)))
            os.environ["CCVM_VM_DISK_SIZE"] = "10"
            with_disk = await boot(project)
            del os.environ["CCVM_VM_DISK_SIZE"]
            note("added by a scratch disk of 10 GiB", with_disk["cold boot to ready"] - plain["cold boot to ready"])
            await asyncio.to_thread(ccvm_tui, "stop", "--force", guest)
    return figures


def main() -> None:
    """Measure in a separate runtime directory, and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--build", action="store_true", help="also rebuild the image once")
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()
    runtime = tempfile.mkdtemp(prefix="ccvm-b")
    os.environ.update(XDG_RUNTIME_DIR=runtime, XDG_STATE_HOME=runtime)
    try:
        figures = asyncio.run(measure(options.runs))
        if options.build:
            figures["image build"] = [timed(lambda: ccvm_tui("image", "build", "--force", "--agent", "none"))]
    finally:
        shutil.rmtree(runtime, ignore_errors=True)
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}, {options.runs} boots; medians (min–max)"
    )
    for name, values in figures.items():
        unit = "" if name.endswith("MB") else " s"
        print(f"{name:36} {statistics.median(values):8.3f}{unit}   ({min(values):.3f}–{max(values):.3f})")
    if options.json:
        Path(options.json).write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
