"""The scratch disk: a disk of the host, encrypted with a key that exists only in this guest's kernel.

The key is random and is stored nowhere, so the file on the host is worthless as soon as the guest has ended. There is
no header (plain dm-crypt), because there is nothing to unlock later.
"""

from __future__ import annotations

import fcntl
import os
import struct
import time

from .files import run

SERIAL = "scratch"
"""The serial of the disk."""

MOUNTED = "/scratch"
"""The directory on which it is mounted."""

_NAME = b"scratch"
_CONTROL = "/dev/mapper/control"
_CIPHER = b"aes-xts-plain64"
_KEY_BYTES = 64
_SECTOR = 512
_BLOCK = 4096
_MODULES = ("dm_crypt", "xts", "ext4")
_DISK_TIMEOUT = 10.0

# linux/dm-ioctl.h: struct dm_ioctl without its data, struct dm_target_spec, and the numbers of ioctls
_HEADER = struct.Struct("=3I 2I I i 3I Q 128s 129s 7x")
_TARGET = struct.Struct("=QQiI16s")
_VERSION = (4, 0, 0)
_CREATE, _SUSPEND, _LOAD = 3, 6, 9  # DM_DEV_SUSPEND without DM_SUSPEND_FLAG resumes
_DEVICE = 10  # the index of the device number in _HEADER
_SECURE = 1 << 15  # DM_SECURE_DATA_FLAG: the kernel wipes its copy of the buffer


def start(owner: tuple[int, int]) -> tuple[int, int]:
    """Begin to set up the disk in a process of its own, and return its pid and a pipe, for ``problem``."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writing)
        return pid, reading
    status = 1
    try:
        set_up(owner)
        status = 0
    except (OSError, ValueError) as error:
        os.write(writing, (str(error) or repr(error)).encode()[:1000])
    finally:
        os._exit(status)


def problem(started: tuple[int, int]) -> str:
    """Wait for the process of ``start``, and return an error message, or an empty string if the disk is mounted."""
    pid, reading = started
    _, status = os.waitpid(pid, 0)
    text = os.read(reading, 1000).decode("utf-8", "replace") if status else ""
    os.close(reading)
    return text or ("its process failed" if status else "")


def set_up(owner: tuple[int, int]) -> None:
    """Encrypt, format and mount the disk, whose files belong to ``owner``. Raises OSError if a step fails."""
    run("/usr/sbin/modprobe", "-a", *_MODULES)
    disk = _find()
    with open(f"/sys/block/{disk}/size") as file:
        sectors = int(file.read()) * 512 // _BLOCK * _BLOCK // _SECTOR
    device = _map(f"/dev/{disk}", sectors)
    run(
        "/usr/sbin/mke2fs", "-q", "-t", "ext4", "-m", "0", "-b", str(_BLOCK), "-G", "4096",
        # without a journal and redundant data: after a crash of the guest, the disk is worthless anyway
        "-O", "^has_journal,^resize_inode,^metadata_csum,uninit_bg,sparse_super2",
        "-E", f"nodiscard,lazy_itable_init=1,num_backup_sb=0,packed_meta_blocks=1,root_owner={owner[0]}:{owner[1]}",
        device,
    )  # fmt: skip
    os.makedirs(MOUNTED, 0o755, exist_ok=True)
    # errors: if the host's disk is full, writes fail, and the disk stays writable for when there is space again
    run(
        "/usr/bin/busybox", "mount", "-t", "ext4",
        "-o", "nosuid,nodev,noatime,discard,noinit_itable,errors=continue", device, MOUNTED,
    )  # fmt: skip


def _find() -> str:
    """Return the name of the disk. Raises FileNotFoundError if it does not appear."""
    deadline = time.monotonic() + _DISK_TIMEOUT
    while time.monotonic() < deadline:
        for disk in os.listdir("/sys/block"):
            try:
                with open(f"/sys/block/{disk}/serial") as file:
                    if file.read().strip() == SERIAL:
                        return disk
            except OSError:  # not a virtio disk
                continue
        time.sleep(0.01)
    raise FileNotFoundError("the host gave this guest no scratch disk")


def _map(disk: str, sectors: int) -> str:
    """Create the encrypted device over ``disk`` with a new key, and return its path."""
    key = os.urandom(_KEY_BYTES).hex().encode()
    parameters = b"%s %s 0 %s 0 2 allow_discards sector_size:%d" % (_CIPHER, key, disk.encode(), _BLOCK)
    control = os.open(_CONTROL, os.O_RDWR | os.O_CLOEXEC)
    try:
        created = _command(control, _CREATE)
        _command(control, _LOAD, table(sectors, parameters))
        _command(control, _SUSPEND)
    finally:
        os.close(control)
    minor = _HEADER.unpack_from(created)[_DEVICE] & 0xFF
    return f"/dev/dm-{minor}"


def table(sectors: int, parameters: bytes) -> bytes:
    """Return the table of a device with one crypt target, as the kernel expects it after a ``dm_ioctl``."""
    body = parameters + b"\0"
    body += bytes(-len(body) % 8)
    return _TARGET.pack(0, sectors, 0, _TARGET.size + len(body), b"crypt") + body


def _command(control: int, number: int, data: bytes = b"") -> bytearray:
    size = _HEADER.size + len(data)
    flags = _SECURE if data else 0
    buffer = bytearray(_HEADER.pack(*_VERSION, size, _HEADER.size, 1 if data else 0, 0, flags, 0, 0, 0, _NAME, b""))
    buffer += data
    request = 3 << 30 | _HEADER.size << 16 | 0xFD << 8 | number  # _IOWR(DM_IOCTL, number, struct dm_ioctl)
    fcntl.ioctl(control, request, buffer, True)
    return buffer
