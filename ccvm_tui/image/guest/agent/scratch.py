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
_ENTROPY_TIMEOUT = 10.0
_MODULES = ("dm_crypt", "xts", "ext4")

# linux/dm-ioctl.h: struct dm_ioctl without its data, struct dm_target_spec, and the numbers of ioctls
_HEADER = struct.Struct("=3I 2I I i 3I Q 128s 129s 7x")
_TARGET = struct.Struct("=QQiI16s")
_VERSION = (4, 0, 0)
_CREATE, _SUSPEND, _LOAD = 3, 6, 9  # DM_DEV_SUSPEND without DM_SUSPEND_FLAG resumes
_DEVICE = 10  # the index of the device number in _HEADER
_SECURE = 1 << 15  # DM_SECURE_DATA_FLAG: the kernel wipes its copy of the buffer


def start() -> tuple[int, int] | None:
    """Begin to set up the disk, if there is one, in a separate process. Returns its pid and a pipe, for ``finish``.

    This needs nothing from the host, so it runs while the host prepares the configuration.
    """
    disk = _find()
    if not disk:
        return None
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writing)
        return pid, reading
    status = 1
    try:
        _set_up(disk)
        status = 0
    except (OSError, ValueError) as error:
        os.write(writing, (str(error) or repr(error)).encode()[:1000])
    finally:
        os._exit(status)


def finish(started: tuple[int, int] | None, owner: tuple[int, int]) -> None:
    """Wait for the process of ``start``, and give the disk to ``owner``. Raises OSError if the disk is not mounted."""
    if started is None:
        raise OSError("the host gave this guest no disk")
    pid, reading = started
    _, status = os.waitpid(pid, 0)
    text = os.read(reading, 1000).decode("utf-8", "replace") if status else ""
    os.close(reading)
    if status:
        raise OSError(text or "its process failed")
    os.chown(MOUNTED, *owner)


def _set_up(disk: str) -> None:
    """Encrypt, format and mount the disk. Raises OSError if a step fails."""
    run("/usr/sbin/modprobe", "-a", *_MODULES)
    with open(f"/sys/block/{disk}/size") as file:
        sectors = int(file.read()) * 512 // _BLOCK * _BLOCK // _SECTOR
    device = _map(f"/dev/{disk}", sectors)
    run(
        "/usr/sbin/mke2fs", "-q", "-t", "ext4", "-m", "0", "-b", str(_BLOCK), "-G", "4096",
        # without a journal and redundant data: after a crash of the guest, the disk is worthless anyway
        "-O", "^has_journal,^resize_inode,^metadata_csum,uninit_bg,sparse_super2",
        "-E", "nodiscard,lazy_itable_init=1,num_backup_sb=0,packed_meta_blocks=1",
        device,
    )  # fmt: skip
    os.makedirs(MOUNTED, 0o755, exist_ok=True)
    # errors: if the host's disk is full, writes fail, and the disk stays writable for when there is space again
    run(
        "/usr/bin/busybox", "mount", "-t", "ext4",
        "-o", "nosuid,nodev,noatime,discard,noinit_itable,errors=continue", device, MOUNTED,
    )  # fmt: skip


def _find() -> str:
    """Return the name of the disk, or an empty string. The kernel has found all disks before it mounts the first."""
    for disk in os.listdir("/sys/block"):
        try:
            with open(f"/sys/block/{disk}/serial") as file:
                if file.read().strip() == SERIAL:
                    return disk
        except OSError:  # not a virtio disk
            continue
    return ""


def _key() -> bytes:
    """Return a new key from two sources: this kernel, which has no seed of the host yet, and the host itself."""
    own, hosts = os.urandom(_KEY_BYTES), b""
    deadline = time.monotonic() + _ENTROPY_TIMEOUT
    while len(hosts) < _KEY_BYTES:
        try:
            with open("/dev/hwrng", "rb", buffering=0) as device:
                hosts += device.read(_KEY_BYTES - len(hosts))
        except OSError:  # its module is being loaded
            if time.monotonic() > deadline:
                raise
            time.sleep(0.005)
    return bytes(one ^ other for one, other in zip(own, hosts, strict=True))


def _map(disk: str, sectors: int) -> str:
    """Create the encrypted device over ``disk`` with a new key, and return its path."""
    key = _key().hex().encode()
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
