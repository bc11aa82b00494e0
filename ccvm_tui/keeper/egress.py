"""The egress of a guest with a machine: its service, and the events about refused connections."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from ccvm_tui.egress.connect import Intercept
from ccvm_tui.egress.policy import Mode
from ccvm_tui.egress.record import Attempt, Outcome
from ccvm_tui.egress.service import EgressService
from ccvm_tui.keeper.guests import GuestOwner
from ccvm_tui.protocol import Happened, LaunchSpec

REFUSALS_REPORTED = 200
"""Maximum number of refused hosts that have an event. All refusals are in the record of the egress."""


def mode_of(spec: LaunchSpec) -> Mode:
    """Return the kind of a guest's egress."""
    return Mode(spec.egress.mode if spec.network == "user" else "none")


def service_for(
    spec: LaunchSpec, log: Path, owner: GuestOwner, intercepts: Mapping[tuple[str, int], Intercept]
) -> EgressService | None:
    """Return the service that all connections of a guest go through, or None if its egress is open or it has none.

    ``intercepts`` are the hosts that the keeper serves itself.
    """
    if mode_of(spec) in (Mode.OPEN, Mode.NONE):
        return None
    refused: set[tuple[str, int]] = set()

    def handle(attempt: Attempt) -> None:
        owner.mark_changed()
        target = attempt.host, attempt.port
        if attempt.outcome is Outcome.REFUSED and target not in refused and len(refused) < REFUSALS_REPORTED:
            refused.add(target)
            text = f"refused {attempt.host}:{attempt.port}: {attempt.reason}"
            owner.record_event(Happened(time.time(), "egress", text, attempt.session))

    return EgressService(
        spec.name, spec.egress, log, can_ask=owner.can_ask, on_attempt=handle, on_change=owner.mark_changed,
        intercepts=intercepts,
    )  # fmt: skip
