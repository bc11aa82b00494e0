"""The virtio-serial ports, which the host names; their numbers mean nothing."""

from __future__ import annotations

import os
import time

CONTROL = "ccvm.control"
SSH = "ccvm.ssh"

_SYSFS = "/sys/class/virtio-ports"
_PATIENCE = 10.0


def open_port(name: str, sysfs: str = _SYSFS) -> int:
    """Open the port read-write and return the descriptor. To be called once: the host sees every close.

    Raises FileNotFoundError when the port does not appear within seconds.
    """
    deadline = time.monotonic() + _PATIENCE
    while (device := _find(name, sysfs)) is None:
        if time.monotonic() > deadline:
            raise FileNotFoundError(f"the host gave this guest no port {name}")
        time.sleep(0.01)
    return os.open(f"/dev/{device}", os.O_RDWR | os.O_CLOEXEC)


def _find(name: str, sysfs: str) -> str | None:
    try:
        devices = os.listdir(sysfs)
    except FileNotFoundError:
        return None
    for device in devices:
        try:
            with open(f"{sysfs}/{device}/name") as file:
                if file.read().strip() == name:
                    return device
        except OSError:  # not complete yet
            continue
    return None
