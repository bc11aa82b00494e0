"""Random operations on both sides at once, with every byte checked: see ``random_files``."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.guest import random_files
from tests.guest.conftest import RealGuest, Starter

SECONDS = "30"
PROGRAM = Path(random_files.__file__)


def both_sides(guest: RealGuest, in_guest: list[str], on_host: list[str]) -> None:
    """Run the roles of the guest and those of the host at the same time; all must find what they left."""
    for name in ("guest's", "host's"):
        for suffix in ("locked", "replaced", "replaced.lock"):
            (guest.project / f"{name} {suffix}").touch()
    (guest.project / PROGRAM.name).write_bytes(PROGRAM.read_bytes())
    host = [sys.executable, "-P", str(PROGRAM), "seed of the host", SECONDS, *on_host]
    with ThreadPoolExecutor() as threads:
        there = threads.submit(
            guest.run, "python3", PROGRAM.name, "seed of the guest", SECONDS, *in_guest, within=180
        )  # fmt: skip
        here = threads.submit(subprocess.run, host, cwd=guest.project, capture_output=True, text=True, timeout=180)
    assert here.result().returncode == 0, here.result().stderr
    assert there.result().returncode == 0, there.result().stderr.decode()
    assert there.result().stdout.count(b" steps\n") == len(in_guest)


def test_writable(own_guest: Starter) -> None:
    both_sides(
        own_guest(),
        ["own:one", "own:other", "locked:host's locked", "replaced:host's replaced"],
        ["own:host's own", "locked:host's locked", "replaced:host's replaced"],
    )


def test_read_only(own_guest: Starter) -> None:
    """The guest reads what the host changes; what the guest changes, only its own programs see."""
    both_sides(
        own_guest("--read-only"),
        ["own:one", "locked:guest's locked", "locked:guest's locked", "readlocked:host's locked",
         "replaced:guest's replaced", "replaced:guest's replaced", "readreplaced:host's replaced"],
        ["own:host's own", "locked:host's locked", "replaced:host's replaced"],
    )  # fmt: skip
