"""The comparison of two texts by lines, with diff(1).

The program of GNU diffutils is part of nearly every Linux system. It reads no configuration, in contrast to Git, and it
is ended when the content, which comes from a guest, takes it too long.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence

from ccvm_tui.review.hunks import Block, Hunk, hunks, lines_of, trimmed

DEADLINE = 10.0
"""Seconds for a comparison. After that, everything between the first and the last difference is one change."""

_FORMAT = "%de %dn %dE %dN\n"
"""The number of the line before the group and the number of its lines, in the old and in the new file (diff(1))."""


def compared(old: bytes, new: bytes) -> list[Hunk]:
    """Return the hunks that turn ``old`` into ``new``. Blocks for up to ``DEADLINE`` seconds."""
    before, after = lines_of(old), lines_of(new)
    return hunks(before, after, _blocks(before, after))


def _blocks(old: Sequence[bytes], new: Sequence[bytes]) -> list[Block]:
    start, end, new_start, new_end = trimmed(old, new)
    if start == end and new_start == new_end:
        return []
    if start == end or new_start == new_end:
        return [(start, end, new_start, new_end)]
    output = _diff(b"".join(old), b"".join(new))
    if output is None:
        return [(start, end, new_start, new_end)]
    found = []
    for line in output.splitlines():
        before, count, new_before, new_count = (int(number) for number in line.split())
        found.append((before, before + count, new_before, new_before + new_count))
    return found


def _diff(old: bytes, new: bytes) -> bytes | None:
    """Return the groups of changed lines, or None if there is no suitable diff(1), or if it takes too long."""
    fds = [os.memfd_create("old"), os.memfd_create("new")]
    try:
        for fd, data in zip(fds, (old, new), strict=True):
            os.truncate(fd, len(data))
            os.pwrite(fd, data, 0)
        groups = [f"--{kind}-group-format={_FORMAT}" for kind in ("old", "new", "changed")]
        result = subprocess.run(
            ["diff", "--text", *groups, "--unchanged-group-format=", *(f"/proc/self/fd/{fd}" for fd in fds)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=fds,
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
            timeout=DEADLINE,
        )
        return result.stdout if result.returncode == 1 else None
    except (OSError, subprocess.TimeoutExpired):
        return None
    finally:
        for fd in fds:
            os.close(fd)
