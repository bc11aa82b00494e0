"""The check that guests are not started by root, whose privileges QEMU would have."""

from __future__ import annotations

import os

from ccvm_tui.errors import PrerequisiteError


def refuse_root() -> None:
    """Raise PrerequisiteError if the user is root, unless CCVM_ALLOW_ROOT=1 is set."""
    if os.geteuid() == 0 and os.environ.get("CCVM_ALLOW_ROOT") != "1":
        raise PrerequisiteError(
            "refusing to start guests as root", "run this as an ordinary user, or set CCVM_ALLOW_ROOT=1"
        )
