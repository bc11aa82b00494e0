"""The virtio-serial ports, found by the names that the host gave them. Their numbers may change."""

from __future__ import annotations

import os
import time

CONTROL = "ccvm.control"
"""The name of the control port."""

SSH = "ccvm.ssh"
"""The name of the SSH port."""

EGRESS = "ccvm.egress"
"""The name of the port of the gate, which only guests with restricted egress have."""

_SYSFS = "/sys/class/virtio-ports"
_TIMEOUT = 10.0


def open_port(name: str, sysfs: str = _SYSFS) -> int:
    """Open a port for reading and writing and return the descriptor. Call it once: the host notices every close.

    Raises FileNotFoundError if the port does not appear within ten seconds.
    """
    deadline = time.monotonic() + _TIMEOUT
    while (device := find(name, sysfs)) is None:
        if time.monotonic() > deadline:
            raise FileNotFoundError(f"the host gave this guest no port {name}")
        time.sleep(0.01)
    return os.open(f"/dev/{device}", os.O_RDWR | os.O_CLOEXEC)


def find(name: str, sysfs: str = _SYSFS) -> str | None:
    """Return the device of the port ``name``, or None if it does not exist (yet)."""
    try:
        devices = os.listdir(sysfs)
    except FileNotFoundError:
        return None
    for device in devices:
        try:
            with open(f"{sysfs}/{device}/name") as file:
                if file.read().strip() == name:
                    return device
        except OSError:  # the port is still being created
            continue
    return None
