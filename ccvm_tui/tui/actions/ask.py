"""Questions that actions ask the user."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Ask(Protocol):
    """A function that asks the user a question that is answered with yes or no."""

    async def __call__(self, question: str, lines: Sequence[str], yes: str) -> bool:
        """Return whether the user has chosen ``yes``. ``lines`` explain the question."""
