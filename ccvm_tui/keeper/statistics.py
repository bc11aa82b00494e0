"""The statistics that a guest reports about itself, which may be anything that JSON can express."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from ccvm_tui.guest import Usage
from ccvm_tui.keeper.forwards import valid_ports

BYTES_MAX = 1 << 50
"""Maximum of a reported size of memory in bytes."""

LOAD_MAX = 1e6
"""Maximum of a reported load."""


def with_reported(usage: Usage, stats: Mapping[str, object]) -> Usage:
    """Return ``usage`` with the memory, the load and the ports that a guest has reported. Other values become 0."""
    return replace(
        usage,
        guest_total=int(_number(stats.get("memory_total"), BYTES_MAX)),
        guest_available=int(_number(stats.get("memory_available"), BYTES_MAX)),
        guest_load=float(_number(stats.get("load1"), LOAD_MAX)),
        ports=valid_ports(stats.get("ports")),
    )


def _number(value: object, limit: float) -> float:
    """Return ``value`` if it is a number from 0 to ``limit``, or else 0."""
    if type(value) not in (int, float) or not isinstance(value, int | float) or math.isnan(value):
        return 0
    return value if 0 <= value <= limit else 0
