"""The work that is lost when the guest of an attempt stops, in words. Without input and output."""

from __future__ import annotations

from ccvm_tui.guest import AttemptInfo


def counted(count: int, noun: str) -> str:
    """Return a number with its noun."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def losses(attempt: AttemptInfo) -> list[str]:
    """Return the parts of an attempt that only its guest has."""
    found = []
    if attempt.unfetched:
        verb = "was" if attempt.unfetched == 1 else "were"
        found.append(f"{counted(attempt.unfetched, 'commit')} of the attempt {attempt.name} {verb} not fetched")
    if attempt.uncommitted:
        verb = "is" if attempt.uncommitted == 1 else "are"
        found.append(
            f"{counted(attempt.uncommitted, 'changed file')} of the attempt {attempt.name} {verb} not committed"
        )
    return found


def lost(attempt: AttemptInfo) -> str:
    """Return the parts of an attempt that only its guest has as one text, or an empty string."""
    return ", ".join(losses(attempt))
