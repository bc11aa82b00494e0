"""How serious a finding about this host is."""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    OK = "ok"
    WARN = "warn"
    """Guests run, but slower, less confined, or without some feature."""
    FAIL = "fail"
