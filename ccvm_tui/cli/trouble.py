"""Exit statuses like those of diff(1): 0 if nothing differs, 1 if something does, and higher after an error."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from ccvm_tui.errors import UserError

TROUBLE = 2
"""The exit status after an error that has no status of its own above 1."""


@contextlib.contextmanager
def errors_above_one() -> Iterator[None]:
    """Raise the exit status of each UserError in the block above 1."""
    try:
        yield
    except UserError as error:
        error.exit_status = max(error.exit_status, TROUBLE)
        raise
