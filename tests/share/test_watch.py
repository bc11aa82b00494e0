"""Watches of the host's directories, with and without an inotify instance."""

from __future__ import annotations

import os
import resource
import stat
from pathlib import Path

from ccvm_tui.share.nodes import Node
from ccvm_tui.share.watch import Watches


def directory(path: Path) -> tuple[Node, int]:
    fd = os.open(path, os.O_PATH)
    info = os.fstat(fd)
    return Node(2, (info.st_dev, info.st_ino), stat.S_IFDIR, None, b""), fd


def test_events_contain_their_directory(tmp_path: Path) -> None:
    watches = Watches()
    node, fd = directory(tmp_path)
    watches.add(node, fd)
    (tmp_path / "made").write_text("x")
    events = list(watches.read())
    assert {event.name for event in events} == {b"made"}
    assert all(event.directory is node for event in events)
    watches.remove(node)
    assert node.watch == -1
    os.close(fd)


def test_without_an_inotify_instance_nothing_is_watched(tmp_path: Path) -> None:
    node, fd = directory(tmp_path)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, before[1]))
        watches = Watches()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    watches.add(node, fd)
    assert (watches.fileno(), node.watch, list(watches.read())) == (-1, -1, [])
    watches.remove(node)
    os.close(fd)
