"""Copies of directory trees: what is preserved, and what a hostile sender cannot do."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccvm_tui.image.guest.agent import tree_sender, trees, wire
from ccvm_tui.image.guest.agent.tree_receiver import Receiver, stays_inside

ATTRIBUTES = b"755 1000000000"


def received(into: Path, names: list[bytes], data: bytes, mask: int = 0o755, chunk: int = 0) -> list[str]:
    """Feed ``data`` to a receiver for the directory ``into``, and return its messages."""
    messages: list[str] = []
    receiver = Receiver(os.open(into, os.O_RDONLY), names, mask, trees.Tally(), messages.append)
    try:
        for at in range(0, len(data), chunk or len(data) or 1):
            receiver.feed(data[at : at + (chunk or len(data))])
    finally:
        receiver.close()
    return messages


def copied(source: Path, into: Path, name: bytes = b"copy", **options: int) -> list[str]:
    """Copy ``source`` to ``into/name`` and return the messages."""
    data = b"".join(tree_sender.send([os.fsencode(source)], trees.Tally(), follow=False))
    return received(into, [name], data, **options)


def stream(*frames: tuple[bytes, bytes]) -> bytes:
    return b"".join(wire.frame(kind, body) for kind, body in frames)


def file(name: bytes, content: bytes = b"x") -> tuple[tuple[bytes, bytes], ...]:
    return (trees.FILE, ATTRIBUTES + b"\0" + name), (trees.CHUNK, content), (trees.COMPLETE, b"")


def directory(name: bytes) -> tuple[bytes, bytes]:
    return (trees.DIRECTORY, ATTRIBUTES + b"\0" + name)


LEAVE, END = (trees.LEAVE, b""), (trees.END, b"")


def test_a_tree_arrives_with_contents_modes_times_links_and_odd_names(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "a" / "b").mkdir(parents=True)
    (source / "a" / "b" / "run").write_bytes(os.urandom(200_000))
    (source / "a" / "b" / "run").chmod(0o750)
    os.utime(source / "a" / "b" / "run", ns=(1, 123_456_789_000))
    (source / os.fsdecode(b"\xff name\nwith 'all'")).write_text("odd")
    (source / "empty").touch()
    (source / "a" / "up").symlink_to("../empty")
    (source / "a").chmod(0o711)
    into = tmp_path / "into"
    into.mkdir()

    assert copied(source, into, chunk=777) == []

    copy = into / "copy"
    assert (copy / "a/b/run").read_bytes() == (source / "a/b/run").read_bytes()
    assert (copy / "a/b/run").stat().st_mode & 0o7777 == 0o750
    assert (copy / "a/b/run").stat().st_mtime_ns == 123_456_789_000
    assert (copy / "a").stat().st_mode & 0o7777 == 0o711
    assert os.readlink(copy / "a/up") == "../empty"
    assert sorted(os.listdir(os.fsencode(copy))) == sorted(os.listdir(os.fsencode(source)))


def test_a_copy_replaces_files_and_links_and_never_writes_through_a_link(tmp_path: Path) -> None:
    source, into, secret = tmp_path / "source", tmp_path / "into", tmp_path / "secret"
    source.mkdir()
    (source / "one").write_text("new")
    (source / "two").write_text("new")
    (into / "copy").mkdir(parents=True)
    (into / "copy" / "one").symlink_to(secret)
    (into / "copy" / "two").write_text("old")
    secret.write_text("untouched")

    assert copied(source, into) == []

    assert secret.read_text() == "untouched"
    assert not (into / "copy" / "one").is_symlink()
    assert (into / "copy" / "one").read_text() == (into / "copy" / "two").read_text() == "new"


def test_a_directory_that_is_a_link_on_the_receiving_side_is_not_entered(tmp_path: Path) -> None:
    source, into, outside = tmp_path / "source", tmp_path / "into", tmp_path / "outside"
    (source / "a" / "b").mkdir(parents=True)
    (source / "a" / "file").write_text("x")
    (source / "later").write_text("x")
    (into / "copy").mkdir(parents=True)
    outside.mkdir()
    (into / "copy" / "a").symlink_to(outside)

    messages = copied(source, into)

    assert len(messages) == 1
    assert "copy/a" in messages[0]
    assert list(outside.iterdir()) == []
    assert (into / "copy" / "later").exists()


def test_special_files_are_omitted_and_setuid_is_dropped(tmp_path: Path) -> None:
    source, into = tmp_path / "source", tmp_path / "into"
    source.mkdir()
    into.mkdir()
    os.mkfifo(source / "pipe")
    (source / "program").write_text("x")
    (source / "program").chmod(0o6777)

    messages = copied(source, into)

    assert len(messages) == 1
    assert "pipe" in messages[0]
    assert (into / "copy" / "program").stat().st_mode & 0o7777 == 0o755


@pytest.mark.parametrize("name", [b"..", b".", b"", b"a/b", b"/etc/passwd", b"../x", b"a\0b"])
def test_a_name_that_is_not_a_single_name_ends_the_copy(tmp_path: Path, name: bytes) -> None:
    into = tmp_path / "into"
    into.mkdir()
    for frames in (file(name), (directory(name),), ((trees.LINK, name + b"\0x"),)):
        if b"\0" in name and frames[0][0] == trees.LINK:
            continue  # the rest of the name is the target
        with pytest.raises(trees.TreeError):
            received(into, [b"top"], stream(directory(b"0"), *frames, LEAVE, END))
    assert {path.name for path in tmp_path.rglob("*")} == {"into", "top"}


@pytest.mark.parametrize("name", [b".bashrc", b"1", b"-1", b"99999999999", "²".encode(), b""])
def test_the_top_can_have_only_the_names_that_were_asked_for(tmp_path: Path, name: bytes) -> None:
    with pytest.raises(trees.TreeError):
        received(tmp_path, [b"wanted"], stream(*file(name), END))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("target", "depth", "inside"),
    [
        (b"x", 0, True), (b"x/y", 0, True), (b"./x", 0, True), (b"..", 0, False), (b"../x", 1, True),
        (b"../../x", 1, False), (b"/etc", 3, False), (b"x/../../..", 3, False), (b"x/..", 3, False), (b"", 1, False),
        (b"x", -1, False),
    ],
)  # fmt: skip
def test_links_must_stay_inside(target: bytes, depth: int, inside: bool) -> None:
    assert stays_inside(target, depth) is inside


def test_a_chain_of_links_does_not_lead_out(tmp_path: Path) -> None:
    frames = (
        directory(b"0"), directory(b"d1"), directory(b"d2"), (trees.LINK, b"up\0.."), LEAVE, LEAVE,
        (trees.LINK, b"out\0d1/d2/up/../.."), directory(b"out"), *file(b"planted"), LEAVE, LEAVE, END,
    )  # fmt: skip
    into = tmp_path / "into"
    into.mkdir()
    messages = received(into, [b"top"], stream(*frames))
    assert len(messages) == 1
    assert not (into / "top" / "out").is_symlink()
    assert [path for path in tmp_path.rglob("planted") if "top" not in path.parts] == []


@pytest.mark.parametrize(
    "frames",
    [
        ((trees.CHUNK, b"x"),), ((trees.COMPLETE, b""),), (LEAVE,), ((b"?", b""),), (directory(b"0"), END),
        (*file(b"0")[:2], directory(b"0")), (END, *file(b"0")), ((trees.FILE, b"no mode\x000"),),
        (*[directory(b"0"), *[directory(b"d")] * (trees.DEPTH_MAX + 2)],),
    ],
)  # fmt: skip
def test_frames_in_a_wrong_order_end_the_copy(tmp_path: Path, frames: tuple[tuple[bytes, bytes], ...]) -> None:
    with pytest.raises(trees.TreeError):
        received(tmp_path, [b"top"], stream(*frames))
    assert not list(tmp_path.rglob(".ccvm-copy*"))


def test_an_interrupted_copy_keeps_the_old_file_and_leaves_no_part_of_the_new_one(tmp_path: Path) -> None:
    (tmp_path / "top").write_text("old")
    received(tmp_path, [b"top"], stream(*file(b"0")[:2]))
    received(tmp_path, [b"top"], stream(*file(b"0")[:2], (trees.BROKEN, b""), END))
    assert [path.name for path in tmp_path.iterdir()] == ["top"]
    assert (tmp_path / "top").read_text() == "old"


def test_a_directory_is_not_replaced_by_a_file_or_a_link(tmp_path: Path) -> None:
    (tmp_path / "top").mkdir()
    assert len(received(tmp_path, [b"top"], stream(*file(b"0"), END))) == 1
    assert len(received(tmp_path, [b"top"], stream((trees.LINK, b"0\0x"), END))) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["top"]


KINDS = st.sampled_from(
    [trees.DIRECTORY, trees.LEAVE, trees.FILE, trees.CHUNK, trees.COMPLETE, trees.BROKEN, trees.LINK, trees.END]
)
PART = st.sampled_from([b"a", b"b", b"..", b".", b"/", b"0", b"\0", b"../..", b"x/../.."])
BODIES = st.builds(
    lambda head, parts: head + b"".join(parts), st.sampled_from([b"", ATTRIBUTES + b"\0"]), st.lists(PART, max_size=4)
)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    numbers: Iterator[int] = iter(range(1 << 30))
    root = tmp_path_factory.mktemp("trees")

    def make() -> Path:
        into = root / str(next(numbers)) / "into"
        into.mkdir(parents=True)
        return into

    return make


@given(frames=st.lists(st.tuples(KINDS, BODIES), max_size=12))
@pytest.mark.attack
def test_no_sequence_of_frames_creates_anything_outside(
    fresh: Callable[[], Path], frames: list[tuple[bytes, bytes]]
) -> None:
    into = fresh()
    with contextlib.suppress(trees.TreeError):
        received(into, [b"top"], stream(directory(b"0"), *frames))
    assert [path.name for path in into.parent.iterdir()] == ["into"]
    assert [path.name for path in into.iterdir()] == ["top"]
    inside = os.path.realpath(into / "top")
    for path in into.rglob("*"):
        if path.is_symlink():
            real = os.path.realpath(path)
            assert real == inside or real.startswith(inside + "/")
