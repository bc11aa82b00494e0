"""Settings of the guest's system: randomness, clock, host name, hardening, time zone."""

from __future__ import annotations

import fcntl
import os
import struct
import time

from .files import set_sysctl, write

_RNDADDENTROPY = 0x40085203
_RNDRESEEDCRNG = 0x5207
_ZONES = "/usr/share/zoneinfo"

_HARDENING = {
    "kernel/kptr_restrict": "2",
    "kernel/dmesg_restrict": "1",
    "kernel/unprivileged_bpf_disabled": "1",
    "net/core/bpf_jit_harden": "2",
    "kernel/kexec_load_disabled": "1",
    "kernel/sysrq": "0",
}
_COMFORT = {
    # data written to the workspace reaches the host within a second, even while the file is open
    "vm/dirty_writeback_centisecs": "50",
    "vm/dirty_expire_centisecs": "50",
    # the defaults depend on the memory and are too low for file watchers of large projects
    "fs/inotify/max_user_watches": "524288",
    "fs/inotify/max_user_instances": "1024",
    "net/ipv4/ping_group_range": "0 2147483647",
}


def seed(entropy: bytes) -> None:
    """Add ``entropy``, credit it in full, and reseed the kernel's random number generator (random(4))."""
    if not entropy:
        return
    with open("/dev/random", "wb") as device:
        request = struct.pack("ii", 8 * len(entropy), len(entropy)) + entropy
        fcntl.ioctl(device, _RNDADDENTROPY, request)
        fcntl.ioctl(device, _RNDRESEEDCRNG)


def set_clock(nanoseconds: int) -> None:
    """Set the wall clock to ``nanoseconds`` since 1970 (UTC)."""
    time.clock_settime_ns(time.CLOCK_REALTIME, nanoseconds)


def name(hostname: str) -> None:
    """Set the host name and a random machine id."""
    set_sysctl("kernel/hostname", hostname)
    write("/etc/hostname", hostname + "\n")
    write("/etc/hosts", f"127.0.0.1 localhost {hostname}\n::1 localhost ip6-localhost {hostname}\n")
    write("/etc/machine-id", os.urandom(16).hex() + "\n", 0o444)


def harden() -> None:
    """Set kernel parameters that protect the guest's programs from each other. The host does not depend on them."""
    for parameter, value in {**_HARDENING, **_COMFORT}.items():
        set_sysctl(parameter, value)


def set_timezone(name: str, rules: bytes, root: str = "") -> None:
    """Set the time zone ``name``, such as "Europe/Berlin".

    If the guest does not know the name, the time zone is set to ``rules`` (TZif, tzfile(5)). If these are not valid
    either, it stays UTC.
    """
    path = os.path.normpath(f"{_ZONES}/{name}")
    if name and path.startswith(_ZONES + "/") and os.path.isfile(root + path):
        _unlink(f"{root}/etc/localtime")
        os.symlink(path, f"{root}/etc/localtime")
        write(f"{root}/etc/timezone", name + "\n")
    elif rules.startswith(b"TZif"):
        _unlink(f"{root}/etc/localtime")
        _unlink(f"{root}/etc/timezone")
        write(f"{root}/etc/localtime", rules)


def _unlink(path: str) -> None:
    if os.path.lexists(path):
        os.unlink(path)
