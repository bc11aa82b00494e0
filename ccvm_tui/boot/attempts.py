"""The start of an attempt: what the project and the settings add to its parameters."""

from __future__ import annotations

import msgspec

from ccvm_tui.attempt.plan import plan
from ccvm_tui.config import Settings
from ccvm_tui.protocol import LaunchSpec


def planned(spec: LaunchSpec, settings: Settings) -> LaunchSpec:
    """Return ``spec`` with the details of its attempt, if it is one, and notes for the user as warnings. Blocks.

    Raises UserError if no attempt can be started in the project.
    """
    if spec.attempt is None:
        return spec
    found = plan(spec.project, spec.attempt, settings.attempt_include)
    return msgspec.structs.replace(spec, attempt=found.attempt, warnings=(*spec.warnings, *found.notes))
