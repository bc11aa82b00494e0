"""Random operations on both sides at the same time, with every byte verified; see ``random_files``."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.guest import random_files
from tests.guest.conftest import RealGuest

pytestmark = pytest.mark.unmeasured

SECONDS = "8"
PROGRAM = Path(random_files.__file__)
PYTHON = ("sh", "-c", 'cd random && exec python3 - "$@"', "sh")
"""A program of the guest that runs its standard input, a Python program, with arguments."""


def both_sides(guest: RealGuest, in_guest: list[str], on_host: list[str]) -> None:
    """Run the roles in the guest and those on the host at the same time. None may find a difference."""
    directory = guest.project / "random"
    directory.mkdir()
    for name in ("guest's", "host's"):
        for suffix in ("locked", "replaced", "replaced.lock"):
            (directory / f"{name} {suffix}").touch()
    program = [*PYTHON, "seed of the guest", SECONDS, *in_guest]
    host = [sys.executable, "-P", str(PROGRAM), "seed of the host", SECONDS, *on_host]
    with ThreadPoolExecutor() as threads:
        inside = threads.submit(guest.run, *program, data=PROGRAM.read_bytes(), within=180)
        outside = threads.submit(subprocess.run, host, cwd=directory, capture_output=True, text=True, timeout=180)
    assert outside.result().returncode == 0, outside.result().stderr
    assert inside.result().returncode == 0, inside.result().stderr.decode()
    assert inside.result().stdout.count(b" steps\n") == len(in_guest)


def test_random_operations_on_a_writable_project(shared: RealGuest) -> None:
    both_sides(
        shared,
        ["own:one", "own:other", "locked:host's locked", "replaced:host's replaced"],
        ["own:host's own", "locked:host's locked", "replaced:host's replaced"],
    )


def test_random_operations_on_a_read_only_project(read_only: RealGuest) -> None:
    """The guest reads files that the host changes. Files that the guest changes are visible only in the guest."""
    both_sides(
        read_only,
        ["own:one", "locked:guest's locked", "locked:guest's locked", "readlocked:host's locked",
         "replaced:guest's replaced", "replaced:guest's replaced", "readreplaced:host's replaced"],
        ["own:host's own", "locked:host's locked", "replaced:host's replaced"],
    )  # fmt: skip
