"""The shell in which every script begins, with the same environment in all terminals."""

from __future__ import annotations

from tests.fidelity.tmux import TERM

_ENVIRONMENT = (
    f"TERM={TERM}",
    "PATH=/usr/local/bin:/usr/bin:/bin",
    "LANG=C.UTF-8",
    "COLORTERM=truecolor",
    "PS1=$ ",
)


def shell(directory: str, home: str) -> tuple[str, ...]:
    """Return an argv that runs sh in a directory, with a fixed environment."""
    return ("env", "-i", *_ENVIRONMENT, f"HOME={home}", "sh", "-c", 'cd -- "$0" && exec sh', directory)
