"""The parameters of an attempt, as the keeper receives them."""

from __future__ import annotations

import msgspec

from ccvm_tui.packing import Message

PROJECT = "/mnt/project"
"""The directory in the guest at which the host's checkout is mounted, read-only."""


class AttemptSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    """An attempt: a private clone of the project in the guest, on the branch ``name``.

    ``base`` is the commit from which it started, and ``start`` the one at which the branch begins now, which is a later
    one if the attempt was continued. ``copied`` are the paths of files that the clone receives, relative to the
    project, and ``removed`` those of files that it loses. ``excluded`` are patterns of files that Git ignores in the
    clone. With ``with_changes``, the user wants uncommitted changes to be among the copied and removed files.
    """

    name: str
    base: str = ""
    start: str = ""
    copied: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    with_changes: bool = False


class CheckAttempt(Message, frozen=True):
    """Ask the guest for the state of its attempt, and return it as Info, without ``wait`` before the guest replies."""

    wait: bool = True
