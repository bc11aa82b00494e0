"""The WAL index with two writers, and the FUSE structures."""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccvm_tui.share import fuse
from ccvm_tui.share.walindex import PAGE, WalIndex, differences

CHANGES = st.lists(
    st.tuples(st.booleans(), st.integers(0, 3 * PAGE - 1), st.binary(min_size=1, max_size=70)), max_size=20
)


@given(old=st.binary(min_size=300, max_size=300), changes=st.lists(st.tuples(st.integers(0, 299), st.integers(0, 255))))
def test_differences_are_exact(old: bytes, changes: list[tuple[int, int]]) -> None:
    new = bytearray(old)
    for at, byte in changes:
        new[at] = byte
    ranges = differences(old, bytes(new))
    covered = {at for start, end in ranges for at in range(start, end)}
    assert covered == {at for at in range(300) if old[at] != new[at]}
    assert all(first[1] < second[0] for first, second in itertools.pairwise(ranges))


@contextmanager
def index_file() -> Iterator[int]:
    with tempfile.TemporaryFile() as file:
        os.ftruncate(file.fileno(), 3 * PAGE)
        yield file.fileno()


@given(changes=CHANGES, rereads=st.sets(st.integers(0, 19)))
@settings(max_examples=200)
def test_bytes_that_one_side_writes_reach_the_other(changes: list[tuple[bool, int, bytes]], rereads: set[int]) -> None:
    """SQLite's locks ensure that each byte has one writer at a time, but a page may have two."""
    expected, guest, index = bytearray(3 * PAGE), bytearray(3 * PAGE), WalIndex()
    with index_file() as fd:
        guest[:] = index.read(fd, 3 * PAGE, 0)
        for number, (by_guest, at, data) in enumerate(changes):
            data = data[: 3 * PAGE - at]
            if by_guest:
                guest[:] = index.read(fd, 3 * PAGE, 0)  # the lock has changed hands
                guest[at : at + len(data)] = data
                index.keep(0, bytes(guest))
                if number in rereads:
                    guest[:] = index.read(fd, 3 * PAGE, 0)
                index.publish(fd)
            else:
                os.pwrite(fd, data, at)
            expected[at : at + len(data)] = data
            assert os.pread(fd, 4 * PAGE, 0) == bytes(expected)
        assert index.read(fd, 3 * PAGE, 0) == bytes(expected)


@given(start=st.integers(0, 3 * PAGE), data=st.binary(min_size=1, max_size=5000), mapped=st.integers(0, 3 * PAGE - 1))
def test_a_mapping_does_not_revert_data_written_by_a_system_call(start: int, data: bytes, mapped: int) -> None:
    index = WalIndex()
    with index_file() as fd:
        guest = bytearray(index.read(fd, 3 * PAGE, 0))
        guest[mapped] ^= 1
        index.keep(0, bytes(guest))
        data = data[: 3 * PAGE - start]
        os.pwrite(fd, data, start)
        if data:
            index.written(start, data)
        index.publish(fd)
        written = os.pread(fd, 3 * PAGE, 0)
    assert written[start : start + len(data)] == data
    assert mapped in range(start, start + len(data)) or written[mapped] == 1


@given(name=st.binary(min_size=1, max_size=255).filter(lambda name: not set(name) & set(b"\0/")), rest=st.binary())
def test_a_name_ends_at_the_nul(name: bytes, rest: bytes) -> None:
    if name in (b".", b".."):
        with pytest.raises(ValueError, match="not a name"):
            fuse.name_at(name + b"\0" + rest)
    else:
        assert fuse.name_at(b"head" + name + b"\0" + rest, 4) == name


@given(data=st.binary(max_size=300), offset=st.integers(0, 300))
def test_arbitrary_data_is_a_valid_name_or_refused(data: bytes, offset: int) -> None:
    try:
        name = fuse.name_at(data, offset)
    except ValueError:
        return
    assert name
    assert b"/" not in name
    assert b"\0" not in name


@given(inode=st.integers(0, (1 << 64) - 1), offset=st.integers(0, (1 << 63) - 1), name=st.binary(max_size=255))
def test_directory_entries_are_padded_to_eight_bytes(inode: int, offset: int, name: bytes) -> None:
    packed = fuse.directory_entry(inode, offset, name, 0o100000)
    assert len(packed) % 8 == 0
    assert fuse.DIRENT.unpack_from(packed) == (inode, offset, len(name), 8)
    assert packed[fuse.DIRENT.size :].rstrip(b"\0") == name.rstrip(b"\0")


@pytest.mark.parametrize(
    ("name", "size"),
    [("IN_HEADER", 40), ("OUT_HEADER", 16), ("INIT_IN", 16), ("INIT_OUT", 64), ("ATTR", 88), ("ENTRY", 40),
     ("ATTR_OUT", 16), ("OPEN_OUT", 16), ("WRITE_OUT", 8), ("STATFS_OUT", 80), ("LOCK", 24), ("DIRENT", 24),
     ("SETATTR_IN", 88), ("READ_IN", 40), ("LK_IN", 48), ("FALLOCATE_IN", 32), ("COPY_IN", 56), ("RENAME2_IN", 16),
     ("CREATE_IN", 16), ("MKNOD_IN", 16), ("RELEASE_IN", 24), ("FLUSH_IN", 24), ("GETATTR_IN", 16)],
)  # fmt: skip
def test_structures_have_the_kernels_sizes(name: str, size: int) -> None:
    assert getattr(fuse, name).size == size
