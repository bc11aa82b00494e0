"""The severity of a finding about this host."""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """The severity of a finding."""

    OK = "ok"
    """No problem."""
    WARN = "warn"
    """Guests run, but slower, less confined, or without some feature."""
    FAIL = "fail"
    """Guests do not run."""
