"""The shell in which a script begins: the same in every terminal, whatever started it."""

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
    """An argv: sh, in that directory, with nothing in its environment that another way would lack."""
    return ("env", "-i", *_ENVIRONMENT, f"HOME={home}", "sh", "-c", 'cd -- "$0" && exec sh', directory)
