"""The ``configure`` message, with which the keeper configures a guest that has booted."""

from __future__ import annotations

import base64
import enum
import os
import time
from typing import TYPE_CHECKING

from ccvm_tui.attempt.spec import PROJECT
from ccvm_tui.egress.policy import Mode
from ccvm_tui.keeper.control import Message
from ccvm_tui.machine.spec import WORKSPACE_TAG
from ccvm_tui.protocol import LaunchSpec

if TYPE_CHECKING:  # slow to import
    from ccvm_tui.ssh.keys import GuestKeys

USER = "dev"
"""The name of the guest's user."""


class Network(enum.StrEnum):
    """The network of a guest: a card of QEMU, the gate to the keeper's proxy, or none."""

    CARD = "user"
    GATE = "gate"
    NONE = "none"

    @classmethod
    def of(cls, mode: Mode) -> Network:
        """Return the network of a guest without a gate."""
        return cls.CARD if mode is Mode.OPEN else cls.NONE


def configuration(spec: LaunchSpec, keys: GuestKeys, mounts: list[Message], network: Network) -> Message:
    """Return the message for the guest of ``spec``. ``mounts`` are its other shares."""
    return {
        "type": "configure",
        "hostname": spec.hostname or spec.name,
        "guest": spec.name,
        "user": {"name": USER, "uid": os.getuid(), "gid": os.getgid(), "sudo": spec.sudo},
        "ssh": {"host_key": keys.host_private, "authorized_key": keys.authorized},
        "workspace": _workspace(spec),
        "mounts": mounts,
        "time_ns": time.time_ns(),
        "entropy": os.urandom(64).hex(),
        "timezone": {"name": spec.timezone.name, "data": base64.b64encode(spec.timezone.data).decode()},
        "network": network.value,
        "scratch": bool(spec.scratch_gib),
    }


def _workspace(spec: LaunchSpec) -> Message:
    """Return the mounts of the project, which is mounted elsewhere if the guest works on a clone of it."""
    if spec.attempt is not None:
        return {"tag": WORKSPACE_TAG, "path": PROJECT, "clone": spec.project}
    return {"tag": WORKSPACE_TAG, "path": spec.project, "local_dirs": list(spec.local_dirs)}
