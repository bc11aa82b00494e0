"""Guests are not started as root: QEMU would run with everything that root may do."""

from __future__ import annotations

import os

from ccvm_tui.errors import PrerequisiteError


def refuse_root() -> None:
    """Raises PrerequisiteError for uid 0, unless CCVM_ALLOW_ROOT=1 says that this is meant."""
    if os.geteuid() == 0 and os.environ.get("CCVM_ALLOW_ROOT") != "1":
        raise PrerequisiteError(
            "refusing to start guests as root", "run as an ordinary user, or set CCVM_ALLOW_ROOT=1 if you must"
        )
