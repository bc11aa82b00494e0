"""The structures of the FUSE protocol, version 7.38. Source: include/uapi/linux/fuse.h.

Times are encoded as seconds and nanoseconds, names as bytes with a final NUL. This module does no I/O.
"""

from __future__ import annotations

import os
import struct
from enum import IntEnum

MAJOR, MINOR = 7, 38
ROOT_ID = 1

IN_HEADER = struct.Struct("<IIQQIIIHH")
"""length, opcode, unique, node, uid, gid, pid, extension length, padding"""
OUT_HEADER = struct.Struct("<IiQ")
"""length, negative errno, unique"""


class Op(IntEnum):
    """The operations that the server supports."""

    LOOKUP = 1
    FORGET = 2
    GETATTR = 3
    SETATTR = 4
    READLINK = 5
    SYMLINK = 6
    MKNOD = 8
    MKDIR = 9
    UNLINK = 10
    RMDIR = 11
    RENAME = 12
    LINK = 13
    OPEN = 14
    READ = 15
    WRITE = 16
    STATFS = 17
    RELEASE = 18
    FSYNC = 20
    SETXATTR = 21
    GETXATTR = 22
    LISTXATTR = 23
    REMOVEXATTR = 24
    FLUSH = 25
    INIT = 26
    READDIR = 28
    FSYNCDIR = 30
    GETLK = 31
    SETLK = 32
    SETLKW = 33
    CREATE = 35
    DESTROY = 38
    BATCH_FORGET = 42
    FALLOCATE = 43
    READDIRPLUS = 44
    RENAME2 = 45
    LSEEK = 46
    COPY_FILE_RANGE = 47
    SYNCFS = 50
    TMPFILE = 51


# INIT flags
ASYNC_READ = 1 << 0
POSIX_LOCKS = 1 << 1
ATOMIC_O_TRUNC = 1 << 3
BIG_WRITES = 1 << 5
FLOCK_LOCKS = 1 << 10
AUTO_INVAL_DATA = 1 << 12
DO_READDIRPLUS = 1 << 13
ASYNC_DIO = 1 << 15
PARALLEL_DIROPS = 1 << 18
MAX_PAGES = 1 << 22
CACHE_SYMLINKS = 1 << 23
NO_OPENDIR_SUPPORT = 1 << 24
HANDLE_KILLPRIV_V2 = 1 << 28

# READDIRPLUS_AUTO is not used: with it the guest requests attributes together with the first names only, about 24, and
# then with a separate request for each further name. The attributes cost the server less than these requests.
WANTED = (
    ASYNC_READ | POSIX_LOCKS | ATOMIC_O_TRUNC | BIG_WRITES | FLOCK_LOCKS | AUTO_INVAL_DATA | DO_READDIRPLUS
    | ASYNC_DIO | PARALLEL_DIROPS | MAX_PAGES | CACHE_SYMLINKS | NO_OPENDIR_SUPPORT | HANDLE_KILLPRIV_V2
)  # fmt: skip

# OPEN replies
FOPEN_DIRECT_IO = 1 << 0
FOPEN_KEEP_CACHE = 1 << 1
FOPEN_NOFLUSH = 1 << 5

# SETATTR
FATTR_MODE, FATTR_UID, FATTR_GID, FATTR_SIZE, FATTR_ATIME, FATTR_MTIME, FATTR_FH = (1 << bit for bit in range(7))
FATTR_ATIME_NOW, FATTR_MTIME_NOW = 1 << 7, 1 << 8

GETATTR_FH = 1 << 0
LK_FLOCK = 1 << 0
WRITE_CACHE = 1 << 0
FSYNC_DATASYNC = 1 << 0

MAX_WRITE = 1 << 20
PAGE = 4096

INIT_IN = struct.Struct("<IIII")
INIT_OUT = struct.Struct("<IIIIHHIIHHII24x")
ATTR = struct.Struct("<QQQQQQIIIIIIIIII")
ENTRY = struct.Struct("<QQQQII")
"""node, generation, entry and attribute validity in s, the same in ns; followed by an ATTR"""
ATTR_OUT = struct.Struct("<QII")
OPEN_OUT = struct.Struct("<QII")
WRITE_OUT = struct.Struct("<II")
STATFS_OUT = struct.Struct("<QQQQQIIII24x")
LOCK = struct.Struct("<QQII")
"""start, end (inclusive), type, pid"""
XATTR_OUT = struct.Struct("<II")
LSEEK_OUT = struct.Struct("<Q")
DIRENT = struct.Struct("<QQII")

GETATTR_IN = struct.Struct("<IIQ")
SETATTR_IN = struct.Struct("<IIQQQQQQIIIIIIII")
MKNOD_IN = struct.Struct("<IIII")
MKDIR_IN = struct.Struct("<II")
RENAME_IN = struct.Struct("<Q")
RENAME2_IN = struct.Struct("<QII")
LINK_IN = struct.Struct("<Q")
OPEN_IN = struct.Struct("<II")
CREATE_IN = struct.Struct("<IIII")
READ_IN = struct.Struct("<QQIIQII")
"""handle, offset, size, read flags, lock owner, open flags, padding; the same for WRITE"""
RELEASE_IN = struct.Struct("<QIIQ")
FLUSH_IN = struct.Struct("<QIIQ")
FSYNC_IN = struct.Struct("<QII")
SETXATTR_IN = struct.Struct("<II")
GETXATTR_IN = struct.Struct("<II")
LK_IN = struct.Struct("<QQQQIIII")
"""handle, owner, start, end, type, pid, lock flags, padding"""
FALLOCATE_IN = struct.Struct("<QQQII")
LSEEK_IN = struct.Struct("<QQII")
COPY_IN = struct.Struct("<QQQQQQQ")
FORGET_IN = struct.Struct("<Q")
FORGET_ONE = struct.Struct("<QQ")
BATCH_FORGET_IN = struct.Struct("<II")

_SECOND = 1_000_000_000


def attributes(info: os.stat_result, inode: int, links: int) -> bytes:
    """Encode the attributes of a file, with the inode number and link count that the guest sees."""
    accessed, modified, changed = info.st_atime_ns, info.st_mtime_ns, info.st_ctime_ns
    return ATTR.pack(
        inode,
        info.st_size,
        info.st_blocks,
        # times before 1970 are negative numbers of seconds in two's complement
        accessed // _SECOND & 0xFFFFFFFFFFFFFFFF,
        modified // _SECOND & 0xFFFFFFFFFFFFFFFF,
        changed // _SECOND & 0xFFFFFFFFFFFFFFFF,
        accessed % _SECOND,
        modified % _SECOND,
        changed % _SECOND,
        info.st_mode,
        links,
        info.st_uid,
        info.st_gid,
        0,
        info.st_blksize,
        0,
    )


def placeholder(inode: int, mode: int, links: int) -> bytes:
    """Encode the attributes of a file that no longer exists."""
    return ATTR.pack(inode, 0, 0, 0, 0, 0, 0, 0, 0, mode, links, os.getuid(), os.getgid(), 0, PAGE, 0)


def entry(node: int, attrs: bytes, entry_valid: int, attr_valid: int) -> bytes:
    """Encode the reply to LOOKUP, and to requests that create a file. The validities are seconds."""
    return ENTRY.pack(node, 0, entry_valid, attr_valid, 0, 0) + attrs


def no_entry(valid: int) -> bytes:
    """Encode the reply that a name does not exist, which the guest may cache for ``valid`` seconds."""
    return ENTRY.pack(0, 0, valid, 0, 0, 0) + bytes(ATTR.size)


def directory_entry(inode: int, offset: int, name: bytes, kind: int) -> bytes:
    """Encode one entry of a directory, padded to eight bytes. ``kind`` is the file type as in st_mode."""
    size = DIRENT.size + len(name)
    return DIRENT.pack(inode, offset, len(name), kind >> 12) + name + bytes(-size % 8)


def name_at(data: bytes, offset: int = 0) -> bytes:
    """Decode the name at ``offset``. Raises ValueError if it is empty, ".", ".." or contains a slash."""
    end = data.index(b"\0", offset)
    name = data[offset:end]
    if not name or name in (b".", b"..") or b"/" in name:
        raise ValueError(f"not a name: {name!r}")
    return name
