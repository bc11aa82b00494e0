"""Shared by tests of machines: the type of the fixture ``start``, and waiting with a deadline."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ccvm_tui.machine.process import Machine

StartMachine = Callable[..., Awaitable[Machine]]
